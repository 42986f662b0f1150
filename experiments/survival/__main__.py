"""The part of ``python -m experiments`` that ``experiments.survival`` reproduces."""

from experiments.catalog import list_command

main = list_command("survival")

if __name__ == "__main__":
    main()
