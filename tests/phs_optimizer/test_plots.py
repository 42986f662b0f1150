"""The figures of a training show the expected lines at the right numbers."""

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking, plot_braking, plot_energy

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def trained():
    """Return both callbacks after a training that visits two minima of a parabola."""
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    model.compile(PHS(learning_rate=0.05, friction=6), "mse")
    braking = GoalOrientedBraking(
        *(0.1, "loss", 3), average_steps=5, minima=2, exploitation=2, verbose=0
    )
    energy = EnergyLogger(every=4)
    x = np.ones((64, 1))
    model.fit(x, 0 * x, batch_size=4, epochs=12, verbose=0, callbacks=[braking, energy])
    return braking, energy


def labels(lines):
    return [line.get_label() for line in lines]


def test_the_energies_and_the_friction_over_the_steps(trained):
    records = trained[1].records
    figure = plot_energy(records)
    assert isinstance(figure, Figure)
    energy, dissipated, friction = figure.axes
    assert labels(energy.lines) == ["total", "potential (training loss)", "kinetic"]
    for line, name in zip(
        [*energy.lines, *dissipated.lines],
        ["total", "potential", "kinetic", "dissipated"],
        strict=True,
    ):
        assert list(line.get_xdata()) == [record["step"] for record in records]
        assert list(line.get_ydata()) == [record[name] for record in records]
    (line,) = friction.lines
    assert set(line.get_ydata()) == {6, 18}
    assert [friction.get_ylabel(), friction.get_xlabel()] == ["friction γ", "step"]
    assert friction.get_yscale() == "log"
    assert [text.get_text() for text in energy.get_legend().get_texts()] == labels(energy.lines)


def test_a_friction_of_zero_is_drawn_too(trained):
    records = [record | {"friction": 0.0} for record in trained[1].records]
    figure = plot_energy(records)
    assert figure.axes[2].get_yscale() == "linear"
    figure.canvas.draw()


@pytest.mark.parametrize("lift", [0.0, -0.5])
def test_every_energy_curve_is_readable(trained, lift):
    """Each curve fills at least a tenth of the panel, even if the loss is negative at times."""
    records = [r | {k: r[k] + lift for k in ("potential", "total")} for r in trained[1].records]
    energy = plot_energy(records).axes[0]
    assert energy.get_yscale() == ("symlog" if lift else "log")
    for line in energy.lines:
        heights = energy.transAxes.inverted().transform(
            energy.transData.transform(line.get_xydata())
        )[:, 1]
        assert np.ptp(heights) > 0.1


def test_energies_of_zero_or_nan_are_drawn_too(trained):
    records = [r | {"kinetic": 0.0, "total": float("nan")} for r in trained[1].records]
    plot_energy(records).canvas.draw()
    nothing = [dict.fromkeys(records[0], 0.0)]
    plot_energy(nothing).canvas.draw()


def test_the_figure_shows_average_goal_and_every_event_with_its_reason(trained):
    callback = trained[0]
    figure = plot_braking(callback)
    average, goal, *events = figure.axes[0].lines
    assert [tuple(point) for point in average.get_xydata()] == callback.trace
    assert set(goal.get_ydata()) == {0.1}
    assert [e["action"] for e in callback.events] == ["brake", "accelerate", "brake"]
    for number, (line, event) in enumerate(zip(events, callback.events, strict=True), start=1):
        assert set(line.get_xdata()) == {event["step"]}
        assert line.get_label() == (
            f"{number}. {event['action']}, γ = {event['friction']:g}: {event['reason']}"
        )
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["average training loss", "goal", *labels(events)]
    figure.canvas.draw()


def test_figures_can_be_saved(trained, tmp_path):
    plot_energy(trained[1]).savefig(tmp_path / "energy.png")
    plot_braking(trained[0]).savefig(tmp_path / "braking.svg")
    assert (tmp_path / "energy.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (tmp_path / "braking.svg").read_text()


def test_an_error_without_data_says_what_to_do():
    with pytest.raises(ValueError, match="no records: fit a model with the EnergyLogger"):
        plot_energy([])
    with pytest.raises(ValueError, match="fit a model with this callback first"):
        plot_braking(GoalOrientedBraking(0.5))
