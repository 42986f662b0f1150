"""List the scripts of chapter 6: ``python -m experiments.resbuilder``."""

from experiments.catalog import list_command

main = list_command("resbuilder")

if __name__ == "__main__":
    main()
