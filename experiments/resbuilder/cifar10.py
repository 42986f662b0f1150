"""Table 6.1, CIFAR-10: Res18, MorphNet only, RB-R18, RB-0Net, and what the thesis lacks.

::

    python -m experiments.resbuilder.cifar10 --preset quick               # minutes
    python -m experiments.resbuilder.cifar10 --preset laptop              # hours on 2 cores
    python -m experiments.resbuilder.cifar10 --preset thesis --workers 1  # a GPU

Thesis: Res18 85.50 %, RB-0Net 89.92 %.

Hardware, time and result: not measured yet.
"""

from experiments.resbuilder.table import table_command

main = table_command("cifar10")

if __name__ == "__main__":
    main()
