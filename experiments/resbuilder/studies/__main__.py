"""List the studies of chapter 6: ``python -m experiments.resbuilder.studies``."""

from experiments.catalog import list_command

main = list_command("resbuilder.studies")

if __name__ == "__main__":
    main()
