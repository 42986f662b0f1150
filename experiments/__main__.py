"""What can be reproduced, by which command, how long it takes, and what is measured so far.

::

    python -m experiments
    python -m experiments.phs     # a chapter's part of it
"""

from experiments.catalog import list_command

main = list_command()

if __name__ == "__main__":
    main()
