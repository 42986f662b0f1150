"""The port of the port-Hamiltonian system: an external force that accelerates the weights."""

from __future__ import annotations

import keras
import numpy as np

from phs_optimizer.optimizer import PHS


def accelerate(optimizer: PHS, energy: float, random: np.random.Generator) -> None:
    """Add momentum in a random direction so that the kinetic energy grows by exactly ``energy``.

    Args:
        optimizer: The optimizer whose momenta change.
        energy: Energy to add, in units of the loss.
        random: Generator that draws the direction.
    """
    momenta = [p for p in optimizer.momenta if p is not None]
    impulses = [random.standard_normal(p.shape) for p in momenta]
    # Solve (‖p + a i‖² − ‖p‖²) / (2 m s) = E for a: with the impulse i, a² i·i + 2 a i·p = 2 m s E.
    square = sum(np.sum(i**2) for i in impulses)
    along = sum(
        np.sum(i * keras.ops.convert_to_numpy(p)) for i, p in zip(impulses, momenta, strict=True)
    )
    supplied = 2 * optimizer.mass * optimizer.force_scale() * energy
    scale = (np.sqrt(along**2 + supplied * square) - along) / square
    for momentum, impulse in zip(momenta, impulses, strict=True):
        momentum.assign_add((scale * impulse).astype("float32"))
