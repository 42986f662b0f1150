"""Table 6.1, EMNIST by class: Res18, MorphNet only, RB-R18, RB-0Net, and what the thesis lacks.

::

    python -m experiments.resbuilder.emnist --preset quick               # minutes
    python -m experiments.resbuilder.emnist --preset laptop              # hours on 2 cores
    python -m experiments.resbuilder.emnist --preset thesis --workers 1  # a GPU

Data: ``emnist.npz`` (images upright), or what tensorflow_datasets has prepared.

Hardware, time and result: not measured yet.
"""

from experiments.resbuilder.table import table_command, table_experiment

EXPERIMENTS = (table_experiment("emnist"),)
main = table_command("emnist")

if __name__ == "__main__":
    main()
