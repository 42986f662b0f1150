"""Saliency: which parts of a slide raise or lower its risk score, by signed Grad-CAM."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike


class RiskSaliency:
    """Saliency maps of one network for several images; see :func:`risk_saliency`.

    Args:
        model: A functional model from one image to one log-hazard.

    Raises:
        ValueError: The model has other inputs or outputs, or its head does not depend on exactly
            one feature map.

    Example:
        >>> from survival import vgg_survival_model
        >>> saliency = RiskSaliency(vgg_survival_model((32, 48, 3), width=0.03))
        >>> maps = [saliency(image) for image in np.zeros((2, 32, 48, 3), "float32")]
    """

    def __init__(self, model: keras.Model):
        if len(model.inputs) != 1 or len(model.outputs) != 1 or model.outputs[0].shape[1:] != (1,):
            raise ValueError(
                "the model must have one image as input and one log-hazard of shape (n, 1) as "
                f"output; its inputs are {[i.shape for i in model.inputs]} and its outputs are "
                f"{[o.shape for o in model.outputs]}"
            )
        feature_map = _last_feature_map(model)
        self.input_shape = model.inputs[0].shape[1:]
        self._features = keras.Model(model.inputs, feature_map)
        self._head = keras.Model(feature_map, model.outputs)

    def __call__(self, image: ArrayLike) -> np.ndarray:
        """Return the map of an image; see :func:`risk_saliency`."""
        image = np.asarray(image)
        if image.ndim != 3 or not all(
            want in (None, got) for want, got in zip(self.input_shape, image.shape, strict=True)
        ):
            raise ValueError(
                f"the image must have shape {self.input_shape} (height, width, channels), not "
                f"{image.shape}"
            )
        # Without a gradient, activations are freed immediately after use.
        features = self._features.predict(image[None], verbose=0).astype("float32")
        gradient = _GRADIENTS[keras.backend.backend()](self._head, features)
        weights = np.asarray(gradient, "float32").mean(axis=(1, 2), keepdims=True)
        return (weights * features).sum(axis=-1)[0]


def risk_saliency(model: keras.Model, image: ArrayLike) -> np.ndarray:
    """Return the signed Grad-CAM of the log-hazard (Selvaraju et al. 2017, without ReLU).

    With the last feature map A of the network, shape (h, w, channels), and the log-hazard ĥ,

        S_ij = Σ_k α_k A_ijk,    α_k = (1/hw) Σ_ij ∂ĥ/∂A_ijk.

    Positive values raise the risk and negative values lower it. If global average pooling and one
    linear layer without bias follow the feature map, the sum of the map is ĥ, and S_ij is the
    contribution of its position. A head of several layers is linearised.

    Only the head needs a gradient. The convolutions run without one, so the memory is that of a
    prediction: for the thesis' network and canvas in float32, 2.0 GiB on TensorFlow, 2.5 on JAX
    and 3.4 on torch.

    Args:
        model: A functional model from one image to one log-hazard, shape (n, 1). It consists of
            convolutions (channels last) and a head that depends only on the last feature map.
        image: An input image of the model, shape (height, width, channels).

    Returns:
        The map, float32, in the resolution of the feature map, shape (h, w). For
        :func:`survival.vgg_survival_model` it is 16 times coarser than the image.

    Raises:
        ValueError: There is no such feature map, or the image does not match the model.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from survival import vgg_survival_model
        >>> model = vgg_survival_model((32, 48, 3), width=0.03)
        >>> risk = risk_saliency(model, np.full((32, 48, 3), 255, "float32"))
        >>> risk.shape
        (2, 3)
        >>> shown = plt.imshow(risk, "RdBu_r", vmin=-abs(risk).max(), vmax=abs(risk).max())
    """
    return RiskSaliency(model)(image)


def _last_feature_map(model: keras.Model):
    """Return the tensor at which the head starts, found by going back from the output."""
    found, seen, todo = {}, set(), list(model.outputs)
    while todo:
        tensor = todo.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if len(tensor.shape) == 4 and tensor.shape[1:3] != (1, 1):
            found[id(tensor)] = tensor
        else:
            operation, node, _ = tensor._keras_history
            todo += operation._inbound_nodes[node].input_tensors
    found.pop(id(model.inputs[0]), None)  # the input image is not a feature map
    if len(found) != 1:
        raise ValueError(
            f"the head of model {model.name!r} must depend on one feature map of shape (n, height, "
            f"width, channels); it depends on {len(found)}"
        )
    return next(iter(found.values()))


def _tensorflow(head, features):
    import tensorflow as tf

    features = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        log_hazard = head(features, training=False)
    return tape.gradient(log_hazard, features, unconnected_gradients="zero")


def _jax(head, features):
    import jax

    return jax.grad(lambda x: head(x, training=False).sum())(jax.numpy.asarray(features))


def _torch(head, features):
    import torch

    device = next(head.parameters()).device
    features = torch.tensor(features, device=device, requires_grad=True)
    return torch.autograd.grad(head(features, training=False).sum(), features)[0].cpu()


_GRADIENTS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
