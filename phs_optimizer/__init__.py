"""Port-Hamiltonian optimizer with goal-oriented braking: not written yet.

Here will live a Keras optimizer that treats training as the motion of a body with mass and friction
in the landscape of the loss, callbacks that brake it once a goal is reached and that log its
energy (chapter 3 of J. Burghoff's dissertation).
"""

__all__ = []
