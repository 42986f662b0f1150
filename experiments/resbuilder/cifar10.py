"""Table 6.1, CIFAR-10: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.cifar10 --preset quick               # minutes
    python -m experiments.resbuilder.cifar10 --preset laptop              # half an hour
    python -m experiments.resbuilder.cifar10 --preset thesis --workers 1  # a GPU

Thesis: Res18 85.50 %, RB-0Net 89.92 %.

The laptop preset took about 20 minutes on one virtual x86-64 core per seed.
Test accuracies in % of architectures trained from scratch for 8 epochs at ζ = 4e6, three seeds:
Res18 48.3 ± 0.9, RB-R18 48.2 ± 0.7, MorphNet only 48.2 ± 1.1, random search 47.4 ± 1.0, ResNet-18
with a small stem 46.2 ± 1.4, ResNet-20 41.5 ± 1.2, RB-0Net 41.1 ± 2.7. The thesis preset is not
measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("cifar10", laptop="20 minutes on one core per seed"),)
main = table_command("cifar10")

if __name__ == "__main__":
    main()
