"""Building the Keras model of an architecture, and loading saved models.

Layers are named after the architecture's convolutions (``stem``, ``s1b0_conv1``, ``s1_proj``, …),
so that surgery can match their weights.
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

# With Keras' 0.99, moving statistics are meaningless for the first few hundred steps, but a search
# trains for a few epochs, sometimes of only ten steps.
BN_MOMENTUM = 0.9
#: Endings of the names of files that Keras loads.
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
# With fewer input channels, oneDNN's gradient of a 1×1 convolution with stride 2 writes out of
# bounds (TensorFlow 2.21 and torch, AVX2), and the process crashes sooner or later.
SAFE_CHANNELS = 8


def build_model(
    architecture: Architecture,
    preprocessing: Preprocessing | None = None,
    seed: int | None = None,
    name: str = "resbuilder",
) -> keras.Model:
    """Build the network of an architecture with random weights.

    Args:
        architecture: The architecture to build.
        preprocessing: A :class:`resbuilder.datasets.Preprocessing` to use as the first layer, so
            that the saved model takes raw pixels.
        seed: Seed of the initial weights. Each layer has its own random stream, derived from the
            seed and its name, so its initial weights do not depend on the rest of the network.
        name: Name of the Keras model.

    Returns:
        A functional model from images (batch, height, width, channels) to logits (batch, classes).
    """
    inputs = keras.Input(architecture.input_shape, name="image")
    x = inputs
    if preprocessing is not None:
        x = keras.layers.Rescaling(
            list(preprocessing.scale), list(preprocessing.offset), name="preprocessing"
        )(x)
    trunks = architecture.trunks.items()
    logits = [_Trunk(trunk, prefix, seed).logits(x) for prefix, trunk in trunks]
    mean = keras.layers.Average(name="mean_logits")(logits) if len(logits) > 1 else logits[0]
    return keras.Model(inputs, mean, name=name)


def load_network(path: str | Path, compile: bool = False) -> keras.Model:
    """Load a saved network without ever running code from the file.

    Args:
        path: A ``.keras`` file, which need not come from this package.
        compile: Whether to restore the optimizer and its state as well.

    Raises:
        ValueError: If the file is not a Keras model, is damaged, or contains code (a Lambda
            layer).
    """
    if Path(path).suffix not in KERAS_SUFFIXES:
        raise ValueError(
            f"{path} is not a Keras model that can be read: expected a name that ends in "
            f"{' or '.join(KERAS_SUFFIXES[:2])}; give a run folder or a .keras file"
        )
    try:
        with warnings.catch_warnings():
            # Keras warns about layers without weights in the file, which would stay random.
            warnings.filterwarnings("error", ".*freshly-initialized weights")
            return keras.saving.load_model(path, compile=compile, safe_mode=True)
    except Exception as error:  # a damaged file can make Keras raise almost anything
        reason = first_line(error)[:300]
        if "arbitrary code" in reason:
            reason = "it holds code of its own (a Lambda layer), which is never run"
        elif reason.startswith("File not found") and Path(path).is_file():
            reason = "it is not a complete archive; copy or export it again"
        raise ValueError(f"{path} is not a Keras model that can be read: {reason}") from None


def image_shape(model: keras.Model) -> tuple[int, int, int]:
    """Return height, width and channels of the images that a model takes.

    Raises:
        ValueError: If the model does not take a single batch of images of fixed size.
    """
    try:
        shape = model.input_shape
    except AttributeError:  # raised by Keras for a model without a shape
        shape = None
    fixed = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape[1:])
    if not fixed or len(shape) != 4:
        raise ValueError(
            "the model must take one batch of images of fixed size, (batch, height, width, "
            f"channels), but {model.name} takes {shape or 'an unknown shape'}"
        )
    return shape[1:]


class _Trunk:
    """Adds the layers of one trunk; all of their names begin with the prefix."""

    def __init__(self, architecture: Architecture, prefix: str, seed: int | None):
        self.architecture, self.prefix, self.seed = architecture, prefix, seed
        self.conv_first = architecture.block_order == "conv_bn_relu"

    def logits(self, x: Any) -> Any:
        a = self.architecture
        x = self.unit(x, a.stem.width, "stem", "", a.stem.kernel, a.stem.stride)
        if a.stem.pool:
            x = self.pooling(3, 2, "stem_pool")(x)
        for index, stage in enumerate(a.stages):
            x = self.stage(x, index, stage)
        x = keras.layers.GlobalAveragePooling2D(name=self.prefix + "average")(x)
        return keras.layers.Dense(
            a.classes,
            kernel_initializer=self.initializer("logits"),
            name=self.prefix + "logits",
        )(x)

    def stage(self, x: Any, index: int, stage: Stage) -> Any:
        skip = x
        if stage.transition == "pool":
            skip = keras.layers.MaxPooling2D(2, name=self.prefix + f"s{index}_pool")(x)
        elif stage.projects:
            skip = self.projection(x, stage, index)
            if self.conv_first:
                skip = self.norm(skip, f"s{index}_proj_bn")
        for block in stage.blocks:
            skip = self.block(x if block.stride == 2 else skip, skip, block, stage.width)
        return skip

    def pooling(self, size: int, stride: int, name: str) -> keras.layers.Layer:
        name = self.prefix + name
        return keras.layers.MaxPooling2D(size, stride, padding="same", name=name)

    def projection(self, x: Any, stage: Stage, index: int) -> Any:
        """Add a 1×1/2 convolution, or a 1×1 convolution of averages."""
        name = f"s{index}_proj"
        if stage.transition == "average":
            pooled = self.prefix + f"s{index}_mean"
            x = keras.layers.AveragePooling2D(2, padding="same", name=pooled)(x)
        elif x.shape[-1] >= SAFE_CHANNELS:
            return self.conv(x, stage.width, name, 1, 2)
        else:
            # Pick every second pixel before the convolution, which gives the same numbers.
            x = self.pooling(1, 2, f"s{index}_pick")(x)
        return self.conv(x, stage.width, name, 1, 1)

    def block(self, x: Any, skip: Any, block: Block, width: int) -> Any:
        x = self.unit(x, block.inner, block.name, "1", 3, block.stride)
        x = self.unit(x, width, block.name, "2", 3, 1)
        return keras.layers.Add(name=self.prefix + f"{block.name}_add")([skip, x])

    def unit(self, x: Any, width: int, name: str, number: str, kernel: int, stride: int) -> Any:
        """Add convolution, batch normalization and ReLU in the architecture's order."""
        conv = f"{name}_conv{number}" if number else name
        if self.conv_first:
            x = self.norm(self.conv(x, width, conv, kernel, stride), f"{name}_bn{number}")
        else:
            x = self.conv(self.norm(x, f"{name}_bn{number}"), width, conv, kernel, stride)
        return keras.layers.ReLU(name=self.prefix + f"{name}_relu{number}")(x)

    def conv(self, x: Any, width: int, name: str, kernel: int, stride: int) -> Any:
        return keras.layers.Conv2D(
            width,
            kernel,
            strides=stride,
            padding="same",
            use_bias=not self.conv_first,
            kernel_initializer=self.initializer(name),
            name=self.prefix + name,
        )(x)

    def norm(self, x: Any, name: str) -> Any:
        name = self.prefix + name
        return keras.layers.BatchNormalization(momentum=BN_MOMENTUM, name=name)(x)

    def initializer(self, name: str) -> keras.initializers.Initializer:
        seed = None
        if self.seed is not None:
            seed = zlib.crc32(f"{self.seed}/{self.prefix}{name}".encode())
        return keras.initializers.GlorotUniform(seed=seed)
