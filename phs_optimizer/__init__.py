"""A Keras optimizer with mass, friction and energy, and callbacks that brake and log it.

Training as the motion of a body in the landscape of the loss, a port-Hamiltonian system
(chapter 3 of J. Burghoff's dissertation): :class:`PHS` is the optimizer,
:class:`GoalOrientedBraking` raises its friction once a goal is reached, :class:`EnergyLogger`
writes down where the energy goes, and :func:`plot_braking` and :func:`plot_energy` draw both.
"""

from importlib import import_module

# Loaded on first use, so that an import does not wait for Keras and matplotlib.
_HOMES = {
    "EnergyLogger": "energy",
    "GoalOrientedBraking": "braking",
    "PHS": "optimizer",
    "plot_braking": "plots",
    "plot_energy": "plots",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'phs_optimizer' has no attribute {name!r}")
    return getattr(import_module(f"phs_optimizer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
