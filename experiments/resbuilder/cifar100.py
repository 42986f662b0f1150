"""Table 6.1, CIFAR-100: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.cifar100 --preset quick               # minutes
    python -m experiments.resbuilder.cifar100 --preset laptop              # half an hour (estimate)
    python -m experiments.resbuilder.cifar100 --preset thesis --workers 1  # a GPU

Data: ``cifar100.npz``, or the copy of keras.datasets.

Not measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("cifar100", laptop="20 minutes on one core per seed (estimate)"),)
main = table_command("cifar100")

if __name__ == "__main__":
    main()
