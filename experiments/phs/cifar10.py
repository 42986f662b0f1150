"""Table 3.1: LeNet on CIFAR-10 with the port-Hamiltonian optimizer, with and without braking.

::

    python -m experiments.phs.cifar10 --preset quick
    python -m experiments.phs.cifar10 --preset thesis
"""

from experiments.phs.table_jobs import table_command, table_experiment

EXPERIMENTS = (table_experiment("cifar10", thesis="16 hours on one core (estimate)"),)
main = table_command("cifar10")

if __name__ == "__main__":
    main()
