"""The part of ``python -m experiments`` that ``experiments.scale`` reproduces."""

from experiments.catalog import list_command

main = list_command("scale")

if __name__ == "__main__":
    main()
