"""The part of ``python -m experiments`` that ``experiments.morphnet`` reproduces."""

from experiments.catalog import list_command

main = list_command("morphnet")

if __name__ == "__main__":
    main()
