"""A model as TensorFlow Serving takes it: a SavedModel that wants encoded pictures or images, and names what it gives.

Signatures: `serving_default` takes `image_bytes: string[B]`, each a JPEG or a PNG of any size; `serve_images` takes
`images: uint8[B, S, S, 3]`. Both give the model's own output, under the name of what it is, and the class found.
"""

from pathlib import Path

import keras
import tensorflow as tf

from streaming.checkpoints.weights import read_weights
from streaming.control.errands import Export
from streaming.errors import UserCodeError
from streaming.records.graph_decode import decode_images
from streaming.sentence import sentence
from streaming.settings import Settings
from streaming.training.trainer import DEFAULT, Trainer, build_model

Outputs = dict[str, tf.Tensor]


def export(settings: Settings, wanted: Export) -> None:
    """Build the model, put the checkpoint's weights into it, write it down.

    Raises CheckpointDamaged, CheckpointMismatch, and UserCodeError for a model that can't be traced.
    """
    if settings.pipeline.deterministic:
        tf.config.experimental.enable_op_determinism()
    trainer = Trainer(build_model(settings), settings)
    trainer.load(read_weights(Path(wanted.weights)))
    size = settings.pipeline.image_size

    def serve_images(images: tf.Tensor) -> Outputs:
        return outputs(trainer, images)

    def serve_encoded(image_bytes: tf.Tensor) -> Outputs:
        return outputs(trainer, decode_images(image_bytes, size))

    encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
    images = tf.TensorSpec([None, size, size, 3], tf.uint8, name="images")
    archive = keras.export.ExportArchive()
    tables = tf.Module()  # Keras 3.15 saves all variables a second time of a layer that is tracked by itself
    tables.model = trainer.model
    archive.track(tables)
    try:
        archive.add_endpoint("serving_default", serve_encoded, [encoded])
        archive.add_endpoint("serve_images", serve_images, [images])
        archive.write_out(wanted.directory, verbose=False)
    except tf.errors.OpError:  # the disk's
        raise
    except Exception as error:  # a user's model may raise anything
        name = settings.model.build or DEFAULT
        text = f"model.build = {name}: it can't be exported: {type(error).__name__}: {sentence(error)}"
        raise UserCodeError(text) from error


def outputs(trainer: Trainer, images: tf.Tensor) -> Outputs:
    """What the model says of images, by name.

    `logits` or `probabilities`, float[B, S, S, C] or [B, C], as its loss has it (`scores` where it doesn't say), and
    with logits the `probabilities`, too; `mask: uint8[B, S, S]` or `label: int64[B]`. A model of another output gives
    that alone: under its own names, or as `output_0`, `output_1`, …
    """
    said = trainer.model(images, training=False)
    if not isinstance(said, tf.Tensor):
        named = said if isinstance(said, dict) else {f"output_{n}": one for n, one in enumerate(tf.nest.flatten(said))}
        return {str(name): tf.convert_to_tensor(one) for name, one in named.items()}
    if not trainer.countable:
        return {"output_0": said}
    best = tf.argmax(said, axis=-1)
    found = {"label": best} if trainer.labels else {"mask": tf.cast(best, tf.uint8)}
    match _from_logits(trainer.model):
        case None:
            return {"scores": said, **found}
        case True:
            return {"logits": said, "probabilities": tf.nn.softmax(said), **found}
        case False:
            return {"probabilities": said, **found}


def _from_logits(model: keras.Model) -> bool | None:
    """Whether the model's loss takes its output for logits; None where it isn't one of Keras' cross-entropies."""
    loss = model.loss
    if isinstance(loss, str):
        return False if loss.endswith("categorical_crossentropy") else None
    wants = loss.get_config().get("from_logits") if isinstance(loss, keras.losses.Loss) else None
    return None if wants is None else bool(wants)
