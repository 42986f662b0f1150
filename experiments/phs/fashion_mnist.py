"""Table 3.2: LeNet on Fashion-MNIST with the port-Hamiltonian optimizer, with and without braking.

::

    python -m experiments.phs.fashion_mnist --preset quick
    python -m experiments.phs.fashion_mnist --preset thesis
"""

from experiments.phs.table_jobs import table_command, table_experiment

EXPERIMENTS = (table_experiment("fashion_mnist", thesis="15 hours on one core (estimate)"),)
main = table_command("fashion_mnist")

if __name__ == "__main__":
    main()
