"""List the scripts of chapter 7: ``python -m experiments.survival``."""

from experiments.catalog import list_command

main = list_command("survival")

if __name__ == "__main__":
    main()
