"""List what can be reproduced: commands, times, committed results and their state.

::

    python -m experiments
    python -m experiments.phs     # one chapter of the list
"""

from experiments.catalog import list_command

main = list_command()

if __name__ == "__main__":
    main()
