"""A Keras optimizer with mass, friction and energy, and callbacks that brake and log it.

Training is the motion of a body in the landscape of the loss, a port-Hamiltonian system
(chapter 3 of J. Burghoff's dissertation). :class:`PHS` is the optimizer.
:class:`GoalOrientedBraking` raises its friction once the loss reaches a goal.
:class:`EnergyLogger` records where the energy goes. :func:`plot_braking` and
:func:`plot_energy` draw what the two callbacks saw.
"""

# Imported eagerly: Keras can load a saved model only after PHS has been registered.
from phs_optimizer.braking import GoalOrientedBraking
from phs_optimizer.energy import EnergyLogger
from phs_optimizer.optimizer import PHS
from phs_optimizer.plots import plot_braking, plot_energy

__all__ = ["PHS", "EnergyLogger", "GoalOrientedBraking", "plot_braking", "plot_energy"]
