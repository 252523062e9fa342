"""What a user brings: a model, a preprocessing and a record format. Imported by the worker, from PYTHONPATH."""

import json

import cv2
import keras
import numpy as np
import tensorflow as tf

from streaming.records.sample import Reject, Sample
from streaming.settings import Settings


def build(settings: Settings) -> keras.Model:
    """One convolution."""
    size = settings.pipeline.image_size
    images = keras.Input((size, size, 3), dtype="uint8")
    logits = keras.layers.Conv2D(settings.model.classes, 1)(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, logits)
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255))
    return model


def preprocess(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images upside down, by TensorFlow operations on whole batches."""
    tf.debugging.assert_equal(tf.shape(seed), [2])
    return tf.reverse(images, [1]), tf.reverse(masks, [1])


def parse(value: bytes, key: bytes) -> Sample | Reject:
    """JSON with a grey value; the mask is class 1 everywhere."""
    grey = json.loads(value)["grey"]
    if grey > 255:
        return Reject("too_bright", f"grey {grey}")
    image = np.full((24, 24, 3), grey, np.uint8)
    return Sample(image, cv2.imencode(".png", np.ones((24, 24), np.uint8))[1].tobytes())
