"""The part of ``python -m experiments`` that ``experiments.resbuilder.studies`` reproduces."""

from experiments.catalog import list_command

main = list_command("resbuilder.studies")

if __name__ == "__main__":
    main()
