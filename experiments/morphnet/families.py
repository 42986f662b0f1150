"""Beyond the thesis: MorphNet on each family of keras.applications.

::

    python -m experiments.morphnet.families --preset quick
    KERAS_BACKEND=torch python -m experiments.morphnet.families --preset thesis --workers 1

It tests the smallest model of each family, with random weights, on the current backend of Keras;
stored results of other backends are kept.

Columns of the table:

- equal a count: whether FLOPs of the analysis equal a count over the layers' kernels, before and
  after shrinking;
- half zeroed: change of the outputs when half of the channels emit zero and are removed. Changes
  are RMS values in units of the outputs' spread over images;
- trained, shrunk: change when half of the scales are 1e-5 and five training steps with MorphNet's
  term follow. The rate is 1e-6, as at the end of a schedule; gradients are clipped to norm 1;
- by channels that vary, by borders and rounding: the parts of that change;
- noise grows: factor by which a little noise grows from images to outputs;
- expanded: share of the old FLOPs that the network has after expansion.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish_table, stored
from resbuilder.common.cli import BACKENDS, Command

if TYPE_CHECKING:
    import keras

    from resbuilder.morphnet import ChannelGraph

# Class, side of the image, further arguments.
FAMILIES = {
    "MobileNet": ("MobileNet", 32, {"alpha": 0.25}),
    "MobileNetV2": ("MobileNetV2", 32, {"alpha": 0.35}),
    "MobileNetV3": ("MobileNetV3Small", 32, {"alpha": 0.75, "include_preprocessing": True}),
    "VGG": ("VGG16", 32, {}),
    "ResNet": ("ResNet50", 32, {}),
    "ResNetV2": ("ResNet50V2", 32, {}),
    "ConvNeXt": ("ConvNeXtTiny", 32, {}),
    "Xception": ("Xception", 71, {}),
    "InceptionV3": ("InceptionV3", 75, {}),
    "EfficientNet": ("EfficientNetB0", 32, {}),
    "EfficientNetV2": ("EfficientNetV2B0", 32, {}),
    "DenseNet": ("DenseNet121", 32, {}),
    "NASNet": ("NASNetMobile", 32, {}),
    "InceptionResNetV2": ("InceptionResNetV2", 75, {}),
}
# Keras refuses this model on this backend because of a bug of its own.
REFUSED_BY_KERAS = {("NASNet", "torch")}
IMAGES, STEPS = 8, 5
#: Factor of the scales that training has reduced, the threshold above them, and the learning rate
#: at the end of a schedule.
SCALE, THRESHOLD, RATE = 1e-5, 1e-4, 1e-6
#: Noise on the images, in units of their spread.
NOISE = 1e-4


def build(family: str) -> keras.Model:
    """Return the Keras model of a family, from images to ten logits."""
    import keras

    name, side, options = FAMILIES[family]
    options = {"weights": None, "classes": 10, "classifier_activation": None} | options
    keras.utils.set_random_seed(0)
    return getattr(keras.applications, name)(input_shape=(side, side, 3), **options)


def images_for(model: keras.Model) -> np.ndarray:
    """Return images (IMAGES, side, side, 3) from 0 to 255 that a network can tell apart.

    Each has its own colors in four fields, and noise. Networks hardly distinguish pure noise.
    """
    rng, side = np.random.default_rng(0), model.input_shape[1]
    fields = rng.uniform(0, 255, (IMAGES, 2, 2, 3)).repeat(side, axis=1).repeat(side, axis=2)
    noise = rng.uniform(0, 255, (IMAGES, side, side, 3))
    return ((fields[:, side // 2 :, side // 2 :][:, :side, :side] + noise) / 2).astype("float32")


def settle(graph: ChannelGraph, images: np.ndarray) -> None:
    """Scale a network's signals to unit variance and update its statistics, as training would.

    Purely random weights saturate some networks; the outputs of others are near 1e-5 or 1000.
    """
    import keras

    from resbuilder.morphnet import recalibrate
    from resbuilder.morphnet.forward import evaluate, forward

    def scaled(n: int, read: list) -> list:
        step = graph.steps[n]
        if step.makes_channels:
            kernel = getattr(step.layer, step.kernel)
            signal = keras.ops.convert_to_numpy(evaluate(step, read))
            kernel.assign(kernel / (signal - signal.mean(axis=0)).std())
        return read

    recalibrate(graph.model, images)
    forward(graph, images, scaled)
    recalibrate(graph.model, images)


def amplification(model: keras.Model, images: np.ndarray) -> float:
    """Return the change of the outputs over that of noisy images, each in units of its spread."""
    from resbuilder.morphnet.change import change_of

    noise = np.random.default_rng(1).normal(size=images.shape)
    moved = (images + NOISE * images.std() * noise).astype("float32")
    old, new = (np.asarray(model.predict(x, verbose=0)) for x in (images, moved))
    return change_of([old], [new]).relative / change_of([images], [moved]).relative


def independent_flops(model: keras.Model) -> int:
    """Return FLOPs as 2 for each kernel weight and output position."""
    total = 0
    for layer in model.layers:
        kernels = [w for w in layer.weights if w.name.endswith("kernel")]
        places = int(np.prod(layer.output.shape[1:-1])) if kernels else 0
        total += sum(2 * int(np.prod(kernel.shape)) * places for kernel in kernels)
    return total


def half(graph: ChannelGraph) -> np.ndarray:
    """Return a mask of half of the channels of each width group, bool array (ids,)."""
    from resbuilder.morphnet.selection import removable

    rng, free = np.random.default_rng(0), removable(graph)
    dead = np.zeros(graph.size, bool)
    for group in graph.width_groups():
        ids = group.ids[free[group.ids]]
        dead[rng.permutation(ids)[: len(ids) // 2]] = True
    return dead


def scale(graph: ChannelGraph, dead: np.ndarray, factor: float) -> None:
    """Multiply the weights that scale and shift channels: normalizations, or kernels and biases."""
    for step in graph.steps:
        mask = np.where(dead[graph.out_ids(step)], factor, 1.0)
        if step.normalizes:
            # Without γ, a channel that is zero would emit minus its moving mean.
            mean = step.layer.moving_mean if step.layer.gamma is None else None
            weights = [w for w in (step.layer.gamma, step.layer.beta, mean) if w is not None]
        elif step.makes_channels:
            weights = [getattr(step.layer, step.kernel)]
            weights += [step.layer.bias] if step.layer.use_bias else []
        elif step.kind == "depthwise" and step.rule.kind != "separable":
            weights = [step.layer.bias] if step.layer.use_bias else []
        else:
            weights = []
        for weight in weights:
            weight.assign(weight * mask.astype("float32"))


def work(job: dict) -> dict:
    """Do one job: one backend's part of a row of the table."""
    import keras

    from resbuilder.morphnet import (
        ChannelGraph,
        MorphNetRegularizer,
        expand,
        expand_model,
        output_change,
        shrink,
    )
    from resbuilder.morphnet.causes import causes
    from resbuilder.morphnet.removal import closed, spared
    from resbuilder.morphnet.selection import ChannelCost
    from resbuilder.morphnet.shrink import dead_ids
    from resbuilder.training import RegularizedModel
    from resbuilder.training.regularized import NEEDS_JIT

    family = job["family"]
    if (backend := keras.backend.backend()) != job["backend"]:
        raise ValueError(f"this job needs the backend {job['backend']}, but Keras uses {backend}")
    if backend == "tensorflow":
        import tensorflow as tf

        # Tracing the graphs of six models takes longer than eight images through them.
        tf.config.run_functions_eagerly(True)
    start = time.process_time()
    model = build(family)
    images = images_for(model)
    morphnet = MorphNetRegularizer(model, threshold=THRESHOLD)
    graph = morphnet.graph
    settle(graph, images)
    weights = [w.numpy() for w in model.weights]
    whole = ChannelCost(graph, "flops").total(np.ones(graph.size, bool))
    row = {"model": FAMILIES[family][0], "side": FAMILIES[family][1]}
    row["flops"], row["counted"] = whole, independent_flops(model)
    row["amplified"] = amplification(model, images)

    dead = half(graph)
    masks = {s.name: ~dead[graph.out_ids(s)] for s in graph.producers()}
    scale(graph, dead, 0.0)
    small = shrink(model, masks)
    row["zeroed"] = output_change(model, small, images).relative
    left = ChannelGraph(small)
    row["small"] = ChannelCost(left, "flops").total(np.ones(left.size, bool))
    row["small_counted"] = independent_flops(small)
    expansion = expand(left, left.widths(), whole)
    large = expand_model(small, expansion.widths)
    row["expanded"] = independent_flops(large) / whole

    for weight, value in zip(model.weights, weights, strict=True):
        weight.assign(value)
    scale(graph, dead, SCALE)
    settle(graph, images)
    trainer = RegularizedModel(model, {"morphnet": morphnet.regularization_term})
    trainer.set_strengths(
        morphnet=0.1 / float(keras.ops.stop_gradient(morphnet.regularization_term()))
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # The gradients of deep random networks have norms of hundreds; those of trained ones do not.
    optimizer = keras.optimizers.SGD(RATE, global_clipnorm=1.0)
    trainer.compile(optimizer, loss, jit_compile=NEEDS_JIT)
    labels = np.arange(IMAGES) % 10
    history = trainer.fit(images, labels, batch_size=IMAGES, epochs=STEPS, verbose=0)
    row["loss"] = history.history["loss"][-1]
    alive = morphnet.alive()
    row["removed"] = int(sum((~mask).sum() for mask in alive.values()))
    small = shrink(model, alive, at_least=1)
    row["trained"] = output_change(model, small, images).relative
    gone = closed(graph, spared(graph, dead_ids(graph, alive), 1))
    found = causes(graph, gone, small, images)
    row |= {"channels": found.channels, "borders": found.borders, "layer": found.layer}
    return row | {"varied": found.varied, "seconds": round(time.process_time() - start)}


def markdown(results: list[dict]) -> str:
    """Return the table, one row for each family."""
    lines = [
        "| family | model, image | FLOPs | equal a count | half zeroed | trained, shrunk "
        "| … by channels that vary | … by borders, rounding | noise grows | expanded | backends |",
        "|" + "---|" * 11,
    ]
    for family in FAMILIES:
        rows = [r for r in results if r["job"]["family"] == family]
        if not rows:
            lines.append(f"| {family} | {FAMILIES[family][0]} | not measured yet |" + " |" * 8)
            continue
        equal = all(r["flops"] == r["counted"] and r["small"] == r["small_counted"] for r in rows)
        moved = ("zeroed", "trained", "channels", "borders")
        moves = " | ".join(f"{max(r[k] for r in rows):.0e}" for k in moved)
        lines.append(
            f"| {family} | {rows[0]['model']}, {rows[0]['side']} | {rows[0]['flops'] / 1e6:,.1f} M "
            f"| {'yes' if equal else 'NO'} | {moves} | ×{max(r['amplified'] for r in rows):,.0f} "
            f"| {min(r['expanded'] for r in rows):.1%} "
            f"| {', '.join(r['job']['backend'] for r in rows)} |"
        )
    return "\n".join(lines) + "\n"


def jobs_of(preset: str) -> dict[str, dict]:
    """Return the jobs of all backends by name."""
    families = ("MobileNet",) if preset == "quick" else FAMILIES
    return {
        f"{family}_{backend}": {"family": family, "backend": backend}
        for family in families
        for backend in BACKENDS
        if (family, backend) not in REFUSED_BY_KERAS
    }


def publish_from(path: Path) -> None:
    """Write the table next to the results file."""
    publish_table(path, markdown(stored(path)))


EXPERIMENTS = (
    Experiment(
        jobs={"morphnet/families": jobs_of},
        publish_from=publish_from,
        times={"quick": "a minute", "thesis": "half an hour on one core for each backend"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("morphnet")
def main(preset: str, running: Running) -> None:
    """Run the missing measurements on the current backend, and write the table."""
    import keras

    backend = keras.backend.backend()
    jobs = jobs_of(preset)
    own = [name for name, job in jobs.items() if job["backend"] == backend]
    publish_from(measure("morphnet/families", work, jobs, preset, running, only=own))


if __name__ == "__main__":
    main()
