"""Table 6.1, Fashion-MNIST: Res18, MorphNet only, RB-R18, RB-0Net, and what the thesis lacks.

::

    python -m experiments.resbuilder.fashion_mnist --preset quick               # minutes
    python -m experiments.resbuilder.fashion_mnist --preset laptop              # hours on 2 cores
    python -m experiments.resbuilder.fashion_mnist --preset thesis --workers 1  # a GPU

Hardware, time and result: not measured yet.
"""

from experiments.resbuilder.table import table_command

main = table_command("fashion_mnist")

if __name__ == "__main__":
    main()
