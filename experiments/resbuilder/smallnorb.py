"""Table 6.1, SmallNORB: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.smallnorb --preset quick               # minutes
    python -m experiments.resbuilder.smallnorb --preset laptop              # hours (estimate)
    python -m experiments.resbuilder.smallnorb --preset thesis --workers 1  # a GPU

It uses batches of 64. Data: ``smallnorb.npz`` (one camera), or the copy that tensorflow_datasets
has prepared.

Not measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("smallnorb", batch_size=64),)
main = table_command("smallnorb", batch_size=64)

if __name__ == "__main__":
    main()
