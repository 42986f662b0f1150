"""From an architecture to a Keras functional model.

Layers are named after the architecture's convolutions (``stem``, ``s1b0_conv1``, ``s1_proj``, …),
so that weights can be found again after surgery.
"""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from resbuilder.architecture import Architecture, Block, Stage
from resbuilder.common.words import first_line

if TYPE_CHECKING:
    from resbuilder.datasets import Preprocessing

# Keras' 0.99 needs some hundred steps before the moving statistics mean anything; a search trains
# for a few epochs, sometimes of ten steps.
BN_MOMENTUM = 0.9
# With fewer input channels, oneDNN's gradient of a 1×1 convolution with stride 2 writes beyond its
# memory (TensorFlow 2.21 and torch, AVX2): the process ends sooner or later, if nothing worse.
SAFE_CHANNELS = 8


def build_model(
    architecture: Architecture,
    preprocessing: Preprocessing | None = None,
    seed: int | None = None,
    name: str = "resbuilder",
) -> keras.Model:
    """Build the network of an architecture with fresh weights.

    Args:
        architecture: What to build.
        preprocessing: Optional :class:`resbuilder.datasets.Preprocessing`; becomes the first layer,
            so that the saved model takes raw pixels.
        seed: Makes the initial weights reproducible. Each layer draws from a stream of its own,
            named by seed and layer, so a layer starts the same whatever else is in the network.
        name: Name of the Keras model.

    Returns:
        A functional model from images (batch, height, width, channels) to logits (batch, classes).
    """
    return _Builder(architecture, seed).build(preprocessing, name)


def load_network(path: str | Path, compile: bool = False) -> keras.Model:
    """Load a saved network. Code in the file is never run.

    Args:
        path: A ``.keras`` file, from wherever.
        compile: Whether to restore the optimizer and its state, too.

    Raises:
        ValueError: If it is no Keras model, is damaged, or holds code (a Lambda layer).
    """
    try:
        with warnings.catch_warnings():
            # Of layers whose weights are not there, which would stay random.
            warnings.filterwarnings("error", ".*freshly-initialized weights")
            return keras.saving.load_model(path, compile=compile, safe_mode=True)
    except Exception as error:  # Keras raises whatever the broken part of the file leads to.
        reason = first_line(error)[:300]
        if "arbitrary code" in reason:
            reason = "it holds code of its own (a Lambda layer), which is never run"
        raise ValueError(f"{path} is not a Keras model that can be read: {reason}") from None


def image_shape(model: keras.Model) -> tuple[int, int, int]:
    """Height, width and channels of the images that a model takes.

    Raises:
        ValueError: If it does not take one batch of images of a fixed size.
    """
    try:
        shape = model.input_shape
    except AttributeError:  # Keras, of a model without a shape
        shape = None
    fixed = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape[1:])
    if not fixed or len(shape) != 4:
        raise ValueError(
            "a model must take one batch of images of a fixed size, (batch, height, width, "
            f"channels); {model.name} takes {shape or 'no shape that it knows of'}"
        )
    return shape[1:]


class _Builder:
    def __init__(self, architecture: Architecture, seed: int | None):
        self.architecture = architecture
        self.seed = seed
        self.conv_first = architecture.block_order == "conv_bn_relu"

    def build(self, preprocessing: Preprocessing | None, name: str) -> keras.Model:
        a = self.architecture
        inputs = keras.Input(a.input_shape, name="image")
        x = inputs
        if preprocessing is not None:
            x = keras.layers.Rescaling(
                list(preprocessing.scale), list(preprocessing.offset), name="preprocessing"
            )(x)
        x = self.unit(x, a.stem.width, "stem", "", a.stem.kernel, a.stem.stride)
        if a.stem.pool:
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
        for index, stage in enumerate(a.stages):
            x = self.stage(x, index, stage)
        x = keras.layers.GlobalAveragePooling2D(name="average")(x)
        outputs = keras.layers.Dense(
            a.classes, kernel_initializer=self.initializer("logits"), name="logits"
        )(x)
        return keras.Model(inputs, outputs, name=name)

    def stage(self, x: Any, index: int, stage: Stage) -> Any:
        skip = x
        if stage.transition == "pool":
            skip = keras.layers.MaxPooling2D(2, name=f"s{index}_pool")(x)
        elif stage.transition == "projection":
            skip = self.projection(x, stage.width, index)
            if self.conv_first:
                skip = self.norm(skip, f"s{index}_proj_bn")
        for block in stage.blocks:
            skip = self.block(x if block.stride == 2 else skip, skip, block, stage.width)
        return skip

    def projection(self, x: Any, width: int, index: int) -> Any:
        """A 1×1/2 convolution."""
        name = f"s{index}_proj"
        if x.shape[-1] >= SAFE_CHANNELS:
            return self.conv(x, width, name, 1, 2)
        # Every second pixel first, then the convolution: the same numbers.
        x = keras.layers.MaxPooling2D(1, 2, padding="same", name=f"s{index}_pick")(x)
        return self.conv(x, width, name, 1, 1)

    def block(self, x: Any, skip: Any, block: Block, width: int) -> Any:
        x = self.unit(x, block.inner, block.name, "1", 3, block.stride)
        x = self.unit(x, width, block.name, "2", 3, 1)
        return keras.layers.Add(name=f"{block.name}_add")([skip, x])

    def unit(self, x: Any, width: int, name: str, number: str, kernel: int, stride: int) -> Any:
        """Convolution, batch normalisation and ReLU in the architecture's order."""
        conv = f"{name}_conv{number}" if number else name
        if self.conv_first:
            x = self.norm(self.conv(x, width, conv, kernel, stride), f"{name}_bn{number}")
        else:
            x = self.conv(self.norm(x, f"{name}_bn{number}"), width, conv, kernel, stride)
        return keras.layers.ReLU(name=f"{name}_relu{number}")(x)

    def conv(self, x: Any, width: int, name: str, kernel: int, stride: int) -> Any:
        return keras.layers.Conv2D(
            width,
            kernel,
            strides=stride,
            padding="same",
            use_bias=not self.conv_first,
            kernel_initializer=self.initializer(name),
            name=name,
        )(x)

    def norm(self, x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(momentum=BN_MOMENTUM, name=name)(x)

    def initializer(self, name: str) -> keras.initializers.Initializer:
        seed = None if self.seed is None else zlib.crc32(f"{self.seed}/{name}".encode())
        return keras.initializers.GlorotUniform(seed=seed)
