"""Table 6.1, Animals10: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.animals10 --preset quick               # minutes
    python -m experiments.resbuilder.animals10 --preset laptop              # hours (estimate)
    python -m experiments.resbuilder.animals10 --preset thesis --workers 1  # a GPU

It uses batches of 16, images of 300×300 pixels and ten times the budget (ζ = 1e9 at the thesis'
settings). Data: a folder of images for each class, ``animals10/<class>/``, or ``animals10.npz``.

Not measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("animals10", batch_size=16, budget=10),)
main = table_command("animals10", batch_size=16, budget=10)

if __name__ == "__main__":
    main()
