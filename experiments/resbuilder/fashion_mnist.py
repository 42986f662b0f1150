"""Table 6.1, Fashion-MNIST: Res18, MorphNet only, RB-R18, RB-0Net, and three more baselines.

::

    python -m experiments.resbuilder.fashion_mnist --preset quick               # minutes
    python -m experiments.resbuilder.fashion_mnist --preset laptop              # half an hour
    python -m experiments.resbuilder.fashion_mnist --preset thesis --workers 1  # a GPU

The laptop preset took about 24 minutes on one virtual x86-64 core per seed.
Test accuracies in % of architectures trained from scratch for 8 epochs at ζ = 4e6, three seeds:
RB-R18 79.5 ± 0.9, Res18 79.4 ± 1.4, MorphNet only 78.9 ± 1.2, random search 78.9 ± 1.2, ResNet-18
with a small stem 78.1 ± 0.6, ResNet-20 77.6 ± 1.2, RB-0Net 71.2 ± 3.8. The thesis preset is not
measured yet.
"""

from experiments.resbuilder.dataset_table import table_command, table_experiment

EXPERIMENTS = (table_experiment("fashion_mnist", laptop="24 minutes on one core per seed"),)
main = table_command("fashion_mnist")

if __name__ == "__main__":
    main()
