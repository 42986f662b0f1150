"""MorphNet's regularizer of a model, computed by a choice of engines."""

from __future__ import annotations

import warnings

import keras

from resbuilder.morphnet.dry_run import check_rebuild
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
    """Create a regularizer towards fewer channels, each weighted by its cost.

    Each channel j of a source has a value r_j ≥ 0. With group lasso, every convolution and dense
    layer is a source, and r_j is √mean(w²) over the kernel weights that feed the channel. With
    gamma, every batch and group normalization is a source, and r_j = |γ_j|. A kernel before a
    normalization has no scale: doubling it does not change the outputs, so its norm does not show
    whether a channel is used. ``"auto"`` takes |γ_j| where a normalization follows, ‖w‖/√(σ²+ε)
    if that has no γ, and √mean(w²) elsewhere.

    Channels that belong together (:class:`ChannelGraph`) share R = max r, and are alive if any r
    exceeds the threshold. With A the number of alive channels and R the sum of their values over
    the inputs and outputs of each layer, the term is Σ C·(A_in·R_out + A_out·R_in), where
    C·A_in·A_out is the layer's cost (see :mod:`resbuilder.morphnet.resources`). It is
    differentiable in r; no gradient passes through A. If several sources attain the maximum, they
    share its gradient.

    Before training, this also checks that the model can be rebuilt with fewer channels.

    Args:
        model: A built functional or sequential Keras model, which may contain nested models.
        algorithm: ``"auto"``, ``"group_lasso"`` or ``"gamma"``. None means ``"auto"``, but
            ``"group_lasso"`` with ``strict`` or Google's engine, which do not have ``"auto"``.
        resource: ``"flops"`` (2 per multiply-add, one image), ``"model_size"`` (kernel weights),
            ``"activation"`` (output channels) or ``"latency"`` (seconds for one image: each
            convolution and dense layer takes the maximum of its compute time and its data
            transfer time; other layers do not count).
        threshold: A channel is alive if its value exceeds this number ≥ 0.
        strict: Reproduce Google's implementation: the last dense layer is a source and can lose
            channels, batch normalization on the image makes its channels prunable, Flatten hides
            which channels are alive, and the gradient of √ at an all-zero group is not finite. By
            default, the model's inputs and outputs are never pruned, channels are followed
            through Flatten, and that gradient is 0.
        peak_flops: Peak rate in FLOP/s; only for latency.
        bandwidth: Memory bandwidth in bytes/s; only for latency.
        engine: ``"native"``, or ``"google"`` for values computed by Google's implementation,
            always by its strict rules (:mod:`resbuilder.morphnet.google`; TensorFlow only).

    Returns:
        A :class:`NativeRegularizer`, or its subclass :class:`.GoogleRegularizer`.

    Raises:
        ValueError: If an argument is not one of the above, the model has an unsupported layer or
            cannot be rebuilt, or ``"gamma"`` finds no normalization or one without γ.

    Warns:
        UserWarning: If the algorithm is group lasso although normalizations follow kernels.

    Example:
        >>> from resbuilder import build_model, minimal_architecture
        >>> model = build_model(minimal_architecture((8, 8, 1), classes=10))
        >>> morphnet = MorphNetRegularizer(model, resource="flops")
        >>> penalty = 1e-7 * morphnet.regularization_term()  # add this to the loss
        >>> morphnet.alive()["stem"].sum()
        np.int64(64)
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {tuple(ENGINES)}, got {engine!r}")
    regularizer = ENGINES[engine](
        model, algorithm, resource, threshold, strict, peak_flops, bandwidth
    )
    if engine == "native" and not strict:
        check_rebuild(regularizer.graph)
        if regularizer.algorithm == "group_lasso":
            _warn_of_norms_without_scale(regularizer)
    return regularizer


def _warn_of_norms_without_scale(regularizer: NativeRegularizer) -> None:
    graph = regularizer.graph
    names = [step.name for step in graph.producers() if graph.is_normalized(step)]
    if names:
        others = f" and {len(names) - 1} other layers" if len(names) > 1 else ""
        warnings.warn(
            f"group lasso judges {names[0]!r}{others} by the norms of kernels before a "
            "normalization, which rescales each channel. So a small norm does not mean an unused "
            "channel, and removing such channels loses accuracy; use algorithm='auto'",
            stacklevel=3,
        )
