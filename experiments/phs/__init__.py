"""Chapter 3: the port-Hamiltonian optimizer on LeNet."""

SCRIPTS = (
    "mass_friction_grid",
    "accuracy_history",
    "cifar10",
    "fashion_mnist",
    "readings",
    "braking_options",
    "automatic",
    "problems",
    "alternatives",
    "guide",
)
