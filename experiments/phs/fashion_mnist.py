"""Table 3.1: LeNet on Fashion-MNIST with the port-Hamiltonian optimizer, with and without braking.

::

    python -m experiments.phs.fashion_mnist --preset quick
    python -m experiments.phs.fashion_mnist --preset thesis
"""

from experiments.phs.table import table_command

main = table_command("fashion_mnist", "3.1", targets=(0.8, 0.85))

if __name__ == "__main__":
    main()
