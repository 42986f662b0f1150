"""A Keras optimizer with mass, friction and energy, and callbacks that brake and log it.

Training as the motion of a body in the landscape of the loss, a port-Hamiltonian system
(chapter 3 of J. Burghoff's dissertation): :class:`PHS` is the optimizer,
:class:`GoalOrientedBraking` raises its friction once a goal is reached, :class:`EnergyLogger`
writes down where the energy goes, and :func:`plot_braking` and :func:`plot_energy` draw both.
"""

# Loaded at once: a saved model finds its optimizer only after PHS has been registered.
from phs_optimizer.braking import GoalOrientedBraking
from phs_optimizer.energy import EnergyLogger
from phs_optimizer.optimizer import PHS
from phs_optimizer.plots import plot_braking, plot_energy

__all__ = ["PHS", "EnergyLogger", "GoalOrientedBraking", "plot_braking", "plot_energy"]
