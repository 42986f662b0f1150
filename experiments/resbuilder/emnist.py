"""Table 6.1, EMNIST by class: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.emnist --preset quick               # minutes
    python -m experiments.resbuilder.emnist --preset laptop              # half an hour (estimate)
    python -m experiments.resbuilder.emnist --preset thesis --workers 1  # a GPU

Data: ``emnist.npz`` (upright images), or the copy that tensorflow_datasets has prepared.

Not measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("emnist", laptop="20 minutes on one core per seed (estimate)"),)
main = table_command("emnist")

if __name__ == "__main__":
    main()
