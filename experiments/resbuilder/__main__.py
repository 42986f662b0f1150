"""The part of ``python -m experiments`` that ``experiments.resbuilder`` reproduces."""

from experiments.catalog import list_command

main = list_command("resbuilder")

if __name__ == "__main__":
    main()
