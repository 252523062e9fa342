"""A checkpoint's model file made to fit a model that has been changed since."""

import os
from pathlib import Path

import tensorflow as tf

from streaming.checkpoints.weights import encode, read_weights
from streaming.control.errands import Adapt, Adapted
from streaming.fitting import adapt
from streaming.new_run import new_run_values
from streaming.settings import Settings
from streaming.training.trainer import Trainer, build_model

_MODELS = ("model.", "pipeline.image_size")  # the settings of a new run that shape a model


def adapt_file(settings: Settings, wanted: Adapt) -> Adapted:
    """Build the model as it is now, and write the file with which it begins; durable when this returns.

    Raises CheckpointDamaged, CheckpointMismatch naming what doesn't fit, UserCodeError, and OSError.
    """
    if settings.pipeline.deterministic:
        tf.config.experimental.enable_op_determinism()
    trainer = Trainer(build_model(settings), settings)
    saved = read_weights(Path(wanted.weights))
    adapted = adapt(saved, trainer.state(), trainer.optimizer_names(), wanted.init, wanted.reset_optimizer)
    if wanted.file is not None:
        with open(wanted.file, "xb") as file:
            file.write(encode(adapted.state))
            file.flush()
            os.fsync(file.fileno())
    shaping = {name: value for name, value in new_run_values(settings).items() if name.startswith(_MODELS)}
    return Adapted(
        fresh=adapted.fresh,
        kept=len(adapted.state) - len(adapted.fresh),
        signature=trainer.signature,
        new_run=shaping,
    )
