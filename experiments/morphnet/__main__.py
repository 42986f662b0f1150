"""List the scripts of chapter 5: ``python -m experiments.morphnet``."""

from experiments.catalog import list_command

main = list_command("morphnet")

if __name__ == "__main__":
    main()
