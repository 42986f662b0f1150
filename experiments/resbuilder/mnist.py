"""Table 6.1, MNIST: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.mnist --preset quick               # minutes
    python -m experiments.resbuilder.mnist --preset laptop              # half an hour
    python -m experiments.resbuilder.mnist --preset thesis --workers 1  # a GPU

The laptop preset took about 18 minutes on one virtual x86-64 core per seed.
Test accuracies in % of architectures trained from scratch for 8 epochs at ζ = 4e6, three seeds:
MorphNet only 93.6 ± 0.6, Res18 93.1 ± 1.1, RB-R18 92.9 ± 1.1, random search 92.1 ± 1.3, ResNet-18
with a small stem 91.1 ± 2.1, ResNet-20 88.6 ± 3.8, RB-0Net 85.8 ± 2.9. The thesis preset is not
measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("mnist", laptop="18 minutes on one core per seed"),)
main = table_command("mnist")

if __name__ == "__main__":
    main()
