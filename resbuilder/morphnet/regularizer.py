"""The regularizer of a model, computed by the engine that one chooses."""

from __future__ import annotations

import keras

from resbuilder.morphnet.google import GoogleRegularizer
from resbuilder.morphnet.native import NativeRegularizer

ENGINES = {"native": NativeRegularizer, "google": GoogleRegularizer}


def MorphNetRegularizer(  # noqa: N802 -- reads as the class that it stands for
    model: keras.Model,
    algorithm: str = "group_lasso",
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
    (group lasso: every convolution and dense layer is a source), or |γ_j| (gamma: every batch
    normalization is). Channels that belong together (:class:`ChannelGraph`) share R = max r, and
    are alive when any r exceeds the threshold. The term is differentiable in r; no gradient passes
    through the alive counts. Where several sources attain the maximum they share its gradient.

    Args:
        model: A built functional Keras model.
        algorithm: ``"group_lasso"`` or ``"gamma"``.
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
            understood, or gamma finds no batch normalization or one without γ.

    Example:
        >>> morphnet = MorphNetRegularizer(model, resource="flops")
        >>> loss = loss + 1e-7 * morphnet.regularization_term()
        >>> morphnet.alive()["stem"].sum()
        np.int64(64)
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {tuple(ENGINES)}, got {engine!r}")
    return ENGINES[engine](model, algorithm, resource, threshold, strict, peak_flops, bandwidth)
