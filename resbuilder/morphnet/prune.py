"""Prune a trained network to a budget of FLOPs or parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.change import output_change
from resbuilder.morphnet.fates import can_live_without
from resbuilder.morphnet.forward import forward
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.importance import IMPORTANCES, gammas, magnitudes, shares, taylor
from resbuilder.morphnet.removal import closed, without
from resbuilder.morphnet.selection import ChannelCost, select

#: Number of stages of pruning by an importance from data, which is measured before each.
_DATA_STEPS = 5


def prune(
    network: keras.Model,
    *,
    flops: float | None = None,
    parameters: float | None = None,
    importance: str = "magnitude",
    data: Any = None,
    loss: Any = None,
    at_least: int = 1,
    keep: Collection[str] = (),
    verbose: bool = True,
) -> keras.Model:
    """Remove the least important channels until a trained network fits a budget.

    Channels that belong together are removed together (:class:`ChannelGraph`), those with the
    least importance per FLOP (or parameter) saved first. The mean output of a removed channel is
    folded into the layers that read it, as in :func:`shrink`. The result is an ordinary Keras
    model; fine-tune it for a few epochs.

    Args:
        network: A trained functional or sequential Keras model, which may contain nested models.
        flops: FLOPs budget for one image, with 2 FLOPs for each multiply-add of convolutions and
            dense layers. A float up to 1.0 is a share of the network's FLOPs. An int or a larger
            number is absolute, so 1 means one FLOP and 1.0 all of them. Give either this or
            ``parameters``.
        parameters: Budget in parameters, given in the same way. All weights count, as in
            ``count_params``.
        importance: ``"magnitude"``: norms of the kernels as normalizations apply them.
            ``"gamma"``: scales of normalizations. ``"taylor"``: the increase of the loss,
            estimated from its gradients on ``data``; the best of the three before fine-tuning.
        data: Some training images with labels, (x, y), or images x alone; a few hundred are
            enough. With several inputs or outputs, x or y is a list or dict. Needed for
            ``"taylor"``. If given, the means of removed channels are measured on them, and so are
            the statistics of batch normalizations after pruning.
        loss: A Keras loss or its name, for ``"taylor"``. By default the compiled loss. With
            several outputs, a function (y, outputs) that returns one loss for each image.
        at_least: Number of channels that every layer keeps. With 0, whole residual branches may
            be removed.
        keep: Names of layers that keep all their channels.
        verbose: Whether to print the :class:`PruningSummary`.

    Returns:
        A new model with the same layer names. If the network was compiled, the new model is
        compiled too, and inherits the optimizer's state by channel.

    Raises:
        ValueError: If an argument is not one of the above, the budget cannot be met, or the
            network has an unsupported layer.

    Example:
        >>> network = keras.Sequential(
        ...     [
        ...         keras.Input((8, 8, 1)),
        ...         keras.layers.Conv2D(16, 3, activation="relu"),
        ...         keras.layers.Flatten(),
        ...         keras.layers.Dense(10),
        ...     ]
        ... )
        >>> prune(network, flops=0.5, verbose=False).layers[0].filters
        8
    """
    graph = ChannelGraph(network)
    resource, given = one_budget(flops, parameters)
    cost = ChannelCost(graph, resource)
    everything = np.ones(graph.size, bool)
    budget = absolute(given, cost.total(everything), resource)
    images, labels = split(data)
    rank = ranking(graph, importance, images, labels, loss or _compiled_loss(network))

    def chosen(at_least: int) -> np.ndarray:
        alive, start = everything, cost.total(everything)
        stops = _DATA_STEPS if importance == "taylor" else 1
        for stop in range(1, stops + 1):
            part = budget if stop == stops else round(start * (budget / start) ** (stop / stops))
            alive = select(
                graph, cost, part, rank(alive), alive=alive, at_least=at_least, keep=keep
            )
        return alive

    alive = chosen(at_least)
    if not at_least and not can_live_without(graph, closed(graph, ~alive)):
        # Each of these branches may be removed, but not all of them together.
        alive = chosen(1)
    small = without(graph, ~alive, images=images)
    if images is not None:
        recalibrate(small, images)
    if verbose:
        print(summarize(network, small, images))
    return small


def ranking(
    graph: ChannelGraph, importance: str, images: Any, labels: Any, loss: Any
) -> Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Return a function of the alive channels that returns an importance for :func:`.select`.

    Raises:
        ValueError: If the importance is unknown, or lacks labels, a loss or scales it needs.
    """
    if importance not in IMPORTANCES:
        raise ValueError(f"importance must be one of {IMPORTANCES}, got {importance!r}")
    if importance == "taylor":
        if labels is None or loss is None:
            raise ValueError(
                "importance='taylor' needs the gradient of a loss: give data=(x, y), and loss if "
                f"the network is not compiled; got {'no ' if labels is None else ''}labels and "
                f"loss={loss!r}"
            )
        if isinstance(loss, (list, tuple, dict)):
            raise ValueError(
                f"the network has a loss for each of several outputs, {loss!r}; give loss a "
                "function (y, outputs) that returns one loss for each image"
            )

        def measured(alive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            values = taylor(graph, images, labels, loss, alive)
            return lambda _: values

        return measured
    measure = magnitudes if importance == "magnitude" else gammas
    measure(graph)  # a missing scale is an error now, not when channels are chosen

    def current(alive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        values = measure(graph)
        return lambda alive: shares(graph, values, alive)

    return current


def absolute(given: float, whole: int, resource: str) -> int:
    """Return a budget as an absolute number: a float up to 1 is a share of the whole.

    Raises:
        ValueError: If it is not a positive number, or exceeds the whole.
    """
    if (
        isinstance(given, bool)
        or not isinstance(given, (int, float, np.number))
        or not 0 < given < np.inf
    ):
        raise ValueError(
            f"{resource} must be a share such as 0.5 or a positive number, got {given!r}"
        )
    is_share = not isinstance(given, (int, np.integer)) and given <= 1
    budget = int(given * whole) if is_share else int(given)
    if budget > whole:
        raise ValueError(
            f"the network has {whole:,} {resource}, fewer than the budget of {budget:,}"
        )
    return budget


def recalibrate(network: keras.Model, images: Any) -> None:
    """Set the moving statistics of all batch normalizations to those of some images.

    The layers are measured in order, each with the new statistics of those before it. Labels are
    not needed.

    Args:
        network: A functional or sequential model, whose statistics are changed.
        images: A batch for its input, of a few hundred images.
    """
    graph = ChannelGraph(network)

    def visit(n: int, read: list[Any]) -> list[Any]:
        layer = graph.steps[n].layer
        if isinstance(layer, keras.layers.BatchNormalization):
            x = ops.convert_to_numpy(ops.cast(read[0], "float32"))
            x = x.reshape(-1, x.shape[-1]).astype("float64")
            if len(x) > 1:
                layer.moving_mean.assign(x.mean(axis=0))
                layer.moving_variance.assign(x.var(axis=0))
        return read

    forward(graph, images, visit)


@dataclass(frozen=True)
class PruningSummary:
    """A network before and after pruning.

    Attributes:
        flops: FLOPs before and after, for one image; None if the image size is unknown.
        parameters: Parameters before and after.
        widths: Output channels of each convolution and dense layer before and after; 0 after if
            the layer was removed.
        outputs: Change of the outputs on given images, in words; None without images.
    """

    flops: tuple[int, int] | None
    parameters: tuple[int, int]
    widths: dict[str, tuple[int, int]]
    outputs: str | None = None

    def __str__(self) -> str:
        lines = []
        if self.flops is not None:
            lines.append(_line("FLOPs", *self.flops))
        lines.append(_line("parameters", *self.parameters))
        changed = {n: w for n, w in self.widths.items() if w[0] != w[1]}
        lines.append(f"{len(changed)} of {len(self.widths)} layers are narrower:")
        longest = max(map(len, changed), default=0)
        for name, (before, after) in changed.items():
            left = f"{after:>5}" if after else "  removed"
            lines.append(f"  {name:<{longest}} {before:>5} → {left}")
        return "\n".join(lines + ([self.outputs] if self.outputs else []))


def summarize(before: keras.Model, after: keras.Model, images: Any = None) -> PruningSummary:
    """Compare a network before and after pruning.

    Args:
        before: The network.
        after: The pruned network, with the same layer names.
        images: A batch on which to compare the outputs; None does not compare them.
    """
    old, new = ChannelGraph(before), ChannelGraph(after)
    left = new.widths()
    try:
        before_flops, after_flops = (
            ChannelCost(g, "flops").total(np.ones(g.size, bool)) for g in (old, new)
        )
        flops = (before_flops, after_flops)
    except ValueError:  # the image size is unknown
        flops = None
    return PruningSummary(
        flops,
        (before.count_params(), after.count_params()),
        {name: (width, left.get(name, 0)) for name, width in old.widths().items()},
        None if images is None else str(output_change(before, after, images)),
    )


def _line(what: str, before: int, after: int) -> str:
    return f"{what} {before:,} → {after:,} ({after / before:.1%})"


def one_budget(flops: float | None, parameters: float | None) -> tuple[str, float]:
    """Return the name of the resource that has a budget, and the budget as given.

    Raises:
        ValueError: If both budgets are given, or neither.
    """
    if (flops is None) == (parameters is None):
        raise ValueError(
            f"give one budget, either flops or parameters, got flops={flops!r} and "
            f"parameters={parameters!r}"
        )
    if flops is not None:
        return "flops", flops
    assert parameters is not None
    return "parameters", parameters


def split(data: Any) -> tuple[Any, Any]:
    """Return images and labels of (x, y), or images x and None.

    Args:
        data: For a model with several inputs or outputs, x or y is a list or dict.

    Raises:
        ValueError: If ``data`` is a tuple of the wrong length, or the numbers of images and labels
            differ.
    """
    if not isinstance(data, tuple):
        return data, None
    if len(data) != 2:
        raise ValueError(f"data must be images x or (x, y), got a tuple of {len(data)}")
    images, labels = data
    if labels is None:
        return images, None
    if all(np.ndim(leaf) == 0 for leaf in keras.tree.flatten(labels)):
        labels = np.asarray(labels)  # a list of numbers
    lengths = [{len(leaf) for leaf in keras.tree.flatten(part)} for part in (images, labels)]
    if len(set.union(*lengths)) > 1:
        counts = (" or ".join(map(str, sorted(found))) for found in lengths)
        raise ValueError("data has {} images, but {} labels".format(*counts))
    return images, labels


def _compiled_loss(network: keras.Model) -> Any:
    return getattr(network, "loss", None) if getattr(network, "compiled", False) else None
