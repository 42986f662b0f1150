"""List the scripts of chapter 3: ``python -m experiments.phs``."""

from experiments.catalog import list_command

main = list_command("phs")

if __name__ == "__main__":
    main()
