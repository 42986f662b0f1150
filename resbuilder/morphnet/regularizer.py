"""The regularizer of a model, computed by the engine that one chooses."""

from __future__ import annotations

import warnings

import keras

from resbuilder.morphnet.dry_run import check_surgery
from resbuilder.morphnet.google import GoogleRegularizer
from resbuilder.morphnet.native import NativeRegularizer

ENGINES = {"native": NativeRegularizer, "google": GoogleRegularizer}


def MorphNetRegularizer(  # noqa: N802 -- reads as the class that it stands for
    model: keras.Model,
    algorithm: str | None = None,
    resource: str = "flops",
    threshold: float = 1e-2,
    strict: bool = False,
    peak_flops: float | None = None,
    bandwidth: float | None = None,
    *,
    engine: str = "native",
) -> NativeRegularizer:
    """Regularization towards fewer channels, weighted by what a channel costs.

    Each channel j of a source has a value r_j ≥ 0: √mean(w²) over the kernel weights that feed it
    (group lasso: every convolution and dense layer is a source), or |γ_j| (gamma: every batch and
    group normalization is). A kernel before a normalization has no scale: twice the kernel gives
    the same outputs, so its norm does not say whether a channel is used. ``"auto"`` takes |γ_j|
    where a normalization follows, ‖w‖/√(σ²+ε) where that has no γ, and √mean(w²) elsewhere.

    Channels that belong together (:class:`ChannelGraph`) share R = max r, and are alive when any r
    exceeds the threshold. The term is differentiable in r; no gradient passes
    through the alive counts. Where several sources attain the maximum they share its gradient.

    Whether the model can be made again with fewer channels is tried out here, before it is trained.

    Args:
        model: A built functional or sequential Keras model, also with models inside it.
        algorithm: ``"auto"``, ``"group_lasso"`` or ``"gamma"``. None means ``"auto"``; with
            ``strict`` or Google's engine, which know the other two alone, ``"group_lasso"``.
        resource: ``"flops"`` (2 per multiply-add, one image), ``"model_size"`` (kernel weights),
            ``"activation"`` (output channels) or ``"latency"`` (seconds for one image: each
            convolution or dense layer takes the longer of computing and moving its data; layers
            that only keep channels count nothing).
        threshold: A channel is alive when its value exceeds this.
        strict: Reproduce Google's implementation: the last dense layer is a source and can lose
            channels, batch normalization on the image makes its channels prunable, Flatten hides
            which channels are alive, and the gradient of √ at an all-zero group is not finite. By
            default the model's inputs and outputs are never pruned, Flatten is followed, and that
            gradient is 0.
        peak_flops: Peak rate in FLOP/s; latency only.
        bandwidth: Memory bandwidth in bytes/s; latency only.
        engine: ``"native"``, or ``"google"``: the values are computed by Google's own program,
            always by its strict rules (:mod:`resbuilder.morphnet.google`; TensorFlow only).

    Returns:
        A :class:`NativeRegularizer`, or a :class:`.GoogleRegularizer`, which is one.

    Raises:
        ValueError: If an argument is not one of the above, the model has a layer that is not
            understood or cannot be made again, or gamma finds no normalization or one without γ.

    Warns:
        UserWarning: If group lasso is asked for where normalizations follow.

    Example:
        >>> from resbuilder import build_model, minimal_architecture
        >>> model = build_model(minimal_architecture((8, 8, 1), classes=10))
        >>> morphnet = MorphNetRegularizer(model, resource="flops")
        >>> penalty = 1e-7 * morphnet.regularization_term()  # to add to the loss
        >>> morphnet.alive()["stem"].sum()
        np.int64(64)
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {tuple(ENGINES)}, got {engine!r}")
    regularizer = ENGINES[engine](
        model, algorithm, resource, threshold, strict, peak_flops, bandwidth
    )
    if engine == "native" and not strict:
        check_surgery(regularizer.graph)
        if regularizer.algorithm == "group_lasso":
            _warn_of_norms_without_scale(regularizer)
    return regularizer


def _warn_of_norms_without_scale(regularizer: NativeRegularizer) -> None:
    graph = regularizer.graph
    names = [step.name for step in graph.producers() if graph.is_normalized(step)]
    if names:
        others = f" and {len(names) - 1} other layers" if len(names) > 1 else ""
        warnings.warn(
            f"group lasso judges {names[0]!r}{others} by the norms of kernels that a normalization "
            "follows. It divides by whatever scale they have, so small norms do not mean unused "
            "channels, and removing these loses accuracy; take algorithm='auto'",
            stacklevel=3,
        )
