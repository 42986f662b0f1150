"""Gradual pruning during training."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.dry_run import check_rebuild
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.prune import absolute, one_budget, ranking, split, summarize
from resbuilder.morphnet.removal import without
from resbuilder.morphnet.selection import ChannelCost, removable, select


class GradualPruning(keras.callbacks.Callback):
    """Prune gradually in ``fit``, so that the network adapts while it loses channels.

    At the start of each epoch t from ``begin`` to ``end``, the budget as a share of the whole is

        b(t) = b_end + (1 − b_end)·(1 − (t − begin + 1)/(end − begin + 1))³

    (Zhu and Gupta 2018): most channels are removed early. Importances at that time decide which
    ones; removed channels do not return. After every batch, their scale and shift in a
    normalization, or else their kernel and bias, are set to zero, so that the network computes
    what it will compute without them. Train for a few epochs after ``end``.

    Args:
        flops: Final budget, as for :func:`.prune`. Give either this or ``parameters``.
        parameters: Final budget in parameters, as for :func:`.prune`.
        begin: First epoch at whose start channels are removed, counted from 0.
        end: Last epoch at whose start channels are removed. If ``initial_epoch`` of ``fit`` is
            greater, the network is pruned to the final budget at once.
        importance: As for :func:`.prune`.
        data: As for :func:`.prune`, for ``importance="taylor"``.
        at_least: Number of channels ≥ 1 that every layer keeps.
        keep: Names of layers that keep all their channels.
        verbose: Whether to print a line for each epoch in which channels are removed.

    Raises:
        ValueError: If an argument is not one of the above. When training starts: if the network
            has an unsupported layer or cannot be rebuilt, or the budget cannot be met.

    Example:
        >>> network = keras.Sequential(
        ...     [
        ...         keras.Input((8, 8, 1)),
        ...         keras.layers.Conv2D(16, 3, activation="relu"),
        ...         keras.layers.Flatten(),
        ...         keras.layers.Dense(10),
        ...     ]
        ... )
        >>> network.compile("sgd", "mse")
        >>> pruning = GradualPruning(flops=0.5, begin=0, end=1, verbose=False)
        >>> x, y = np.ones((4, 8, 8, 1)), np.ones((4, 10))
        >>> history = network.fit(x, y, epochs=3, verbose=0, callbacks=[pruning])
        >>> pruning.pruned().layers[0].filters
        8
    """

    def __init__(
        self,
        *,
        flops: float | None = None,
        parameters: float | None = None,
        begin: int = 0,
        end: int = 5,
        importance: str = "magnitude",
        data: Any = None,
        at_least: int = 1,
        keep: tuple[str, ...] = (),
        verbose: bool = True,
    ):
        super().__init__()
        self.resource, self.given = one_budget(flops, parameters)
        if not 0 <= begin <= end:
            raise ValueError(f"begin and end need 0 <= begin <= end, got {begin} and {end}")
        if at_least < 1:
            raise ValueError(f"at_least must be 1 or more in training, got {at_least}")
        self.begin, self.end = begin, end
        self.importance = importance
        self.images, self.labels = split(data)
        self.at_least, self.keep, self.verbose = at_least, keep, verbose
        self._of: keras.Model | None = None  # the network whose channels `alive` counts
        self.alive: np.ndarray | None = None
        self._masks: list[tuple[keras.Variable, np.ndarray]] = []

    @property
    def network(self) -> keras.Model:
        """The network being trained; for a ``RegularizedModel``, the network that it wraps."""
        return getattr(self.model, "network", self.model)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Analyze the network, and check that the budget can be met."""
        if self._of is not self.network:
            self.alive = None  # Another network begins with all of its channels.
        self._of = self.network
        graph = self.graph = ChannelGraph(self.network)
        check_rebuild(graph)
        self.cost = ChannelCost(graph, self.resource)
        everything = np.ones(graph.size, bool)
        whole = self.cost.total(everything)
        assert self.given is not None
        self.budget = absolute(self.given, whole, self.resource)
        self.whole = whole
        removable(graph, self.keep)
        self._rank = ranking(graph, self.importance, self.images, self.labels, self.model.loss)
        select(graph, self.cost, self.budget, np.ones_like, at_least=self.at_least, keep=self.keep)
        if self.alive is None:
            self.alive = everything

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Choose the channels to remove in this epoch."""
        if epoch < self.begin:
            return
        self._sync()
        assert self.alive is not None
        # A resumed training may begin after `end`.
        done = min(1.0, (epoch - self.begin + 1) / (self.end - self.begin + 1))
        part = self.budget + int((self.whole - self.budget) * (1 - done) ** 3)
        before = int(self.alive.sum())
        if self.cost.total(self.alive) > part:
            self.alive = select(
                self.graph,
                self.cost,
                part,
                self._rank(self.alive),
                alive=self.alive,
                at_least=self.at_least,
                keep=self.keep,
            )
        self._masks = _masks(self.graph, ~self.alive)
        self._hold()
        removed = before - int(self.alive.sum())
        if self.verbose and (removed or epoch <= self.end):
            print(
                f"pruning: removed {removed} of {self.graph.size} channels, "
                f"{self.cost.total(self.alive):,} of {self.whole:,} {self.resource} left"
            )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Set the weights of removed channels to zero again."""
        if self._masks:
            self._sync()
            self._hold()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Set them to zero in averaged weights, too, which Keras writes back after the last batch.

        Weights that ``EarlyStopping`` has restored stay as they are; :meth:`pruned` warns of them.
        """
        optimizer = self.model.optimizer
        inner = (getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "optimizers", ()))
        if any(getattr(one, "use_ema", False) for one in (optimizer, *inner)):
            self._hold()

    def pruned(self) -> keras.Model:
        """Return the trained network without the removed channels.

        Raises:
            ValueError: If no training has begun.

        Warns:
            UserWarning: If removed channels have weights again, for example because
                ``EarlyStopping`` has restored those of an epoch before ``end``; or if the training
                ended before ``end``, so that the network is above the budget.
        """
        if self.alive is None:
            raise ValueError("nothing has been pruned yet; pass this callback to fit first")
        if (left := self.cost.total(self.alive)) > self.budget:
            warnings.warn(
                f"the training ended before epoch {self.end}, with which the budget is reached: "
                f"{left:,} {self.resource} are left, but the budget is {self.budget:,}; train for "
                f"more than {self.end} epochs, or give a smaller end",
                stacklevel=2,
            )
        if any(np.any(ops.convert_to_numpy(w) * (1 - mask)) for w, mask in self._masks):
            warnings.warn(
                "channels that were removed have weights again, so pruned() changes the outputs; "
                "if EarlyStopping restores the best weights, give it start_from_epoch="
                f"{self.end}",
                stacklevel=2,
            )
        small = without(self.graph, ~self.alive)
        if self.verbose:
            print(summarize(self.network, small))
        return small

    def _hold(self) -> None:
        for variable, mask in self._masks:
            variable.assign(variable * mask)

    def _sync(self) -> None:
        """Write the weights back to the model; on JAX, the training loop holds them."""
        sync = getattr(self.model, "jax_state_sync", None)
        if sync is not None:
            sync()


def _masks(graph: ChannelGraph, dead: np.ndarray) -> list[tuple[keras.Variable, np.ndarray]]:
    """Return the weights of dead channels with masks (0 or 1) that set these channels to zero."""
    result = []
    for step in graph.steps:
        layer = step.layer
        living = ~dead[graph.out_ids(step)]
        if living.all() or step.kind == "input":
            continue
        if step.makes_channels:
            if graph.is_normalized(step, scaled=True):
                continue
            kernel = getattr(layer, str(step.kernel))
            shape = (-1, 1) if step.kind == "conv_transpose" else (-1,)
            result.append((kernel, living.reshape(shape).astype("float32")))
            if getattr(layer, "bias", None) is not None:
                result.append((layer.bias, living.astype("float32")))
        elif step.normalizes:
            weights = [layer.gamma, layer.beta]
            if layer.gamma is None:  # A mean from before would be subtracted in inference.
                weights.append(getattr(layer, "moving_mean", None))
            result += [(w, living.astype("float32")) for w in weights if w is not None]
        elif step.kind == "depthwise" and getattr(layer, "bias", None) is not None:
            if step.rule.kind != "separable":
                result.append((layer.bias, living.astype("float32")))
    return result
