"""The part of ``python -m experiments`` that ``experiments.phs`` reproduces."""

from experiments.catalog import list_command

main = list_command("phs")

if __name__ == "__main__":
    main()
