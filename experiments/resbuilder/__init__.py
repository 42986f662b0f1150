"""Chapter 6: ResBuilder."""

SCRIPTS = (
    "animals10",
    "cifar10",
    "cifar100",
    "mnist",
    "fashion_mnist",
    "emnist",
    "smallnorb",
    "hyperband",
    "race",
    "race_anytime",
    "race_pairs",
    "race_refined",
    "manipulation",
)
