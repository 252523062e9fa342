"""The default model: a U-Net whose encoder is made of MobileNetV2's inverted residuals, trained from scratch.

Sources: Ronneberger et al., U-Net, 2015; Sandler et al., MobileNetV2, 2018.
"""

import math

import keras
from keras import layers

from streaming.records.decode import IGNORE
from streaming.settings import Settings

COARSEST = 4  # pixels, about, of the innermost feature map
EXPANSION = 3
# A stream has no epochs: with Keras' 0.99 the statistics of a few hundred steps would still be the initial ones.
MOMENTUM = 0.9


def build(settings: Settings) -> keras.Model:
    """A compiled model: images uint8[B, S, S, 3] in 0..255 -> logits float[B, S, S, classes]; masks uint8[B, S, S]."""
    size, width = settings.pipeline.image_size, settings.model.width
    stages = max(1, round(math.log2(size / COARSEST)) - 1)
    if size % 2 ** (stages + 1):
        raise ValueError(f"pipeline.image_size {size}: the default model needs a multiple of {2 ** (stages + 1)}")
    images = keras.Input((size, size, 3), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    x = _conv(x, width, stride=2, name="stem")
    skips = []
    for stage in range(stages):
        skips.append(x)
        channels = width * min(stage + 2, 4)
        x = _inverted_residual(x, channels, stride=2, name=f"down{stage}")
        x = _inverted_residual(x, channels, stride=1, name=f"enc{stage}")
    for stage in reversed(range(stages)):
        x = layers.UpSampling2D(2, name=f"up{stage}")(x)
        x = layers.Concatenate(name=f"join{stage}")([x, skips[stage]])
        x = _separable(x, width * min(stage + 1, 4), name=f"dec{stage}")
    x = layers.Conv2D(settings.model.classes, 1, dtype="float32", name="head")(x)
    logits = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name="full_size")(x)
    model = keras.Model(images, logits, name="unet")
    model.compile(
        optimizer=keras.optimizers.Adam(settings.model.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORE),
        jit_compile=settings.model.jit_compile,
    )
    return model


def _conv(x: keras.KerasTensor, channels: int, *, name: str, kernel: int = 3, stride: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _separable(x: keras.KerasTensor, channels: int, *, name: str) -> keras.KerasTensor:
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depth")(x)
    return _conv(x, channels, kernel=1, name=name)


def _inverted_residual(x: keras.KerasTensor, channels: int, *, stride: int, name: str) -> keras.KerasTensor:
    inputs = x
    x = _conv(x, EXPANSION * inputs.shape[-1], kernel=1, name=f"{name}_expand")
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_depth")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_depth_norm")(x)
    x = layers.ReLU(6.0, name=f"{name}_depth_relu")(x)
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_project_norm")(x)
    return layers.Add(name=f"{name}_add")([inputs, x]) if stride == 1 and inputs.shape[-1] == channels else x
