"""List the scripts on scaling: ``python -m experiments.scale``."""

from experiments.catalog import list_command

main = list_command("scale")

if __name__ == "__main__":
    main()
