"""The figures of docs/phs_optimizer.md: a ball in a bowl, and LeNet braked on Fashion-MNIST.

::

    python -m experiments.phs.guide
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.command import DATA, data_dir_option
from resbuilder.common.cli import Command
from resbuilder.common.figures import BLUE, GREEN, RED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[2] / "docs" / "images"
COLORS = {BLUE: 0.3, GREEN: 2.0, RED: 8.0}


def bowl() -> Figure:
    """Draw the path of one weight in the bowl L = w²/2, with mass 1, by the shipped optimizer."""
    import keras
    import numpy as np
    from matplotlib.figure import Figure

    from phs_optimizer import PHS

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    position, energy = figure.subplots(1, 2)
    for (color, friction), name in zip(
        COLORS.items(), ("underdamped", "critical", "overdamped"), strict=True
    ):
        weight = keras.Variable(1.0)
        optimizer = PHS(learning_rate=0.05, mass=1.0, friction=friction)
        optimizer.build([weight])
        path, energies = [], []
        for _ in range(240):
            w = float(keras.ops.convert_to_numpy(weight.value))
            p = float(keras.ops.convert_to_numpy(optimizer.momenta[0].value))
            path.append(w)
            energies.append(p**2 / 2 + w**2 / 2)
            optimizer.apply([keras.ops.convert_to_tensor(w)])
        time = 0.05 * np.arange(240)
        position.plot(time, path, color=color, label=f"γ = {friction:g}: {name}")
        energy.plot(time, energies, color=color)
    position.set_title("Position w", loc="left")
    energy.set_title("Energy p²/2m + w²/2", loc="left")
    energy.set_yscale("log")
    energy.set_ylim(1e-5, 1)
    for axes in (position, energy):
        axes.set_xlabel("time (α × steps)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
    position.legend(frameon=False)
    return figure


def braked_lenet(data_dir: str | None) -> tuple[Figure, Figure]:
    """Train LeNet on Fashion-MNIST with braking and re-acceleration; draw losses and energies."""
    import keras

    from experiments.phs.data import parts
    from experiments.phs.lenet import lenet
    from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking, plot_braking, plot_energy

    keras.utils.set_random_seed(0)
    data = parts("fashion_mnist", data_dir, 20_000)
    model = lenet((28, 28, 1), seed=0)
    model.compile(
        PHS(learning_rate=1e-3, mass=5e-3, friction=10, friction_form="rate"),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=10,
    )
    braking = GoalOrientedBraking(
        target=0.8, factor=30, average_steps=250, minima=2, exploitation=2, port_energy=0.02
    )
    energy = EnergyLogger(every=100)
    model.fit(
        *data["train"],
        batch_size=16,
        epochs=10,
        validation_data=data["validation"],
        callbacks=[braking, energy],
        verbose=2,
    )
    return plot_braking(braking), plot_energy(energy.records)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@data_dir_option(DATA.replace("NAME", "fashion_mnist"))
def main(data_dir):
    """Train, draw the figures, and print their folder."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    bowl().savefig(IMAGES / "phs_bowl.png", dpi=130)
    braking, energy = braked_lenet(data_dir)
    braking.savefig(IMAGES / "phs_braking.png", dpi=130)
    energy.savefig(IMAGES / "phs_energy.png", dpi=130)
    click.echo(f"Figures: {IMAGES}/phs_*.png")


if __name__ == "__main__":
    main()
