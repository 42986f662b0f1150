"""The layers of a rebuilt model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.channels import LayerMaps, Map
from resbuilder.morphnet.layer_call import LayerCall
from resbuilder.morphnet.lost_arguments import lost_arguments
from resbuilder.morphnet.rules import of_keras


class Clones:
    """Clones of a model's layers with other channels.

    A layer that is called several times has one clone for all calls that need the same
    configuration.

    Args:
        maps: Map of the channels of each tensor.
        layers: Maps of each layer with weights, by its name.
        biased: Names of convolutions and dense layers that get a bias.
    """

    def __init__(
        self, maps: Sequence[Map], layers: dict[str, LayerMaps], biased: Collection[str]
    ) -> None:
        self._maps, self._layer_maps, self._biased = maps, layers, biased
        self._clones: dict[Any, list[tuple[dict, keras.layers.Layer]]] = {}

    def operation(self, step: LayerCall, n: int) -> Any:
        """Return the layer or operation of a step for the new model.

        Args:
            step: The step. Only layers with channels change.
            n: Number of its output.

        Raises:
            ValueError: If the layer cannot be created with these channels.
        """
        layer = step.layer
        name = type(layer).__name__
        if not isinstance(layer, keras.layers.Layer):
            if name == "Reshape":
                shape = tuple(np.atleast_1d(layer.newshape).tolist())
                last = shape[-1] if shape[-1] == -1 else len(self._maps[n])
                return lambda x, *_, **__: ops.reshape(x, (*shape[:-1], last))
            return layer
        if step.kind == "opaque" and not layer.weights:
            return layer
        try:
            return self._clone(layer, step, n)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                f"layer {step.name!r} ({name}) cannot be created from its configuration: {error}"
            ) from error

    def _clone(self, layer: keras.layers.Layer, step: LayerCall, n: int) -> keras.layers.Layer:
        if layer.weights:
            first, outputs = self._layer_maps[step.name].first, self._layer_maps[step.name].outputs
        else:  # It may be called several times, with different channels.
            first, outputs = self._maps[step.inputs[0]], self._maps[n]
        config = layer.get_config()
        if lost := lost_arguments(layer):
            raise ValueError(
                f"the get_config() of layer {step.name!r} ({type(layer).__name__}) lacks "
                f"{', '.join(lost)}, so that its copy would have the default; return it there too"
            )
        if step.rule.config is not None:
            config = step.rule.config(config, first, outputs)
        elif step.makes_channels:
            config[_width_name(config, step)] = len(outputs)
        if step.name in self._biased:
            config["use_bias"] = True
        clones = self._clones.setdefault(layer, [])
        for known, clone in clones:
            if known == config:
                return clone
        name = f"{layer.name}_{len(clones) + 1}" if clones else layer.name
        clone = _from_config(layer, config | {"name": name})
        clones.append((config, clone))
        return clone


def _from_config(layer: keras.layers.Layer, config: dict) -> keras.layers.Layer:
    """Return a layer with a configuration and, if it is a function, the layer's own activation.

    A configuration has only the name of a function. Another one of Keras may have the same name.
    """
    own = getattr(layer, "activation", None)
    is_function = callable(own) and not isinstance(own, keras.layers.Layer)
    if not (is_function and "activation" in config and of_keras(type(layer).__init__)):
        return type(layer).from_config(config)
    clone = type(layer).from_config(config | {"activation": "linear"})
    clone.activation = own
    return clone


def _width_name(config: dict, step: LayerCall) -> str:
    """Return the name of the entry for the width in a custom layer's configuration."""
    for name in ("filters", "units"):
        if config.get(name) == step.out_channels:
            return name
    raise ValueError(
        f"layer {step.name!r} has no filters or units in its configuration; give its ChannelRule "
        "a config function that changes the width"
    )
