"""The model and its optimizer: one step, the state as named arrays, and back."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from streaming.arrays import Array
from streaming.errors import UserCodeError
from streaming.fitting import Shape, refuse_misfits
from streaming.hooks import load_hook
from streaming.sentence import sentence
from streaming.settings import Settings
from streaming.training.evaluation import Scored
from streaming.training.undo import Undo

DEFAULT = "the default model"
GUESSES = 4  # predictions that a score hands out
SCALINGS = 40  # float16: each halves the scale, which begins at 2 ** 15


class StepResult(NamedTuple):
    """loss: of the batch, before the step. applied: False when a value was not finite; then nothing changed."""

    loss: float
    applied: bool


def build_model(settings: Settings) -> keras.Model:
    """The compiled model of the settings. Names and initial weights depend on the settings alone.

    Raises UserCodeError when the user's function fails or returns anything but a compiled keras.Model.
    """
    keras.backend.clear_session()  # layer names count from zero, so that variables keep their names
    keras.utils.set_random_seed(settings.pipeline.seed)
    keras.config.set_dtype_policy(settings.model.mixed_precision)
    if settings.model.build is None:
        from streaming.training.unet import build
    else:
        build = load_hook(settings.model.build, "model.build")
    name = settings.model.build or DEFAULT
    try:
        model = build(settings)
    except Exception as error:  # a user's function may raise anything
        raise UserCodeError(f"model.build = {name}: {type(error).__name__}: {sentence(error)}") from error
    if not isinstance(model, keras.Model) or not model.compiled:
        raise UserCodeError(f"model.build = {name}: returned {type(model).__name__}, not a compiled keras.Model")
    return model


class Trainer:
    """Owns the model; belongs to the main thread. Images are uint8[B, S, S, 3], targets uint8[B, S, S] or int64[B].

    labels: it learns from class numbers, not masks. countable: its output's last dimension are the classes.
    """

    def __init__(self, model: keras.Model, settings: Settings) -> None:
        self.model = model
        self._batch_size = settings.pipeline.batch_size
        self._classes = settings.model.classes
        self._name = settings.model.build or DEFAULT
        size = settings.pipeline.image_size
        shape = self._output_shape(size)
        model.optimizer.build(model.trainable_variables)
        self.labels = len(shape) == 2
        # a schedule or a function: nobody else can set the learning rate
        self.scheduled = not isinstance(model.optimizer.learning_rate, keras.Variable)
        self.countable = shape[-1:] == (self._classes,)
        target = tf.TensorSpec([None], tf.int64) if self.labels else tf.TensorSpec([None, size, size], tf.uint8)
        self._signature = [tf.TensorSpec([None, size, size, 3], tf.uint8), target]
        self._variables = _variables(model)
        self._scaling = _loss_scaling(model.optimizer)
        self._named = numbered((v.path, v) for v in self._variables)
        lines = (f"{name} {v.dtype} {list(v.shape)}" for name, v in self._named.items())
        # sha256 over names, shapes and dtypes of all variables
        self.signature = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        self._step = tf.function(self._guarded_step, input_signature=self._signature)
        self._compiled_step = (
            tf.function(self._guarded_step, jit_compile=True) if settings.model.jit_compile else self._step
        )
        self._score = tf.function(self._scored, input_signature=self._signature)

    def compile(self) -> None:
        """Trace step and score, so that the first batch doesn't have to; nothing is executed.

        Raises UserCodeError when the model's own code fails.
        """
        try:
            self._step.get_concrete_function()
            self._score.get_concrete_function()
        except Exception as error:  # a user's train_step, loss or metric may raise anything
            raise UserCodeError(
                f"model.build = {self._name}: its training step fails: {type(error).__name__}: {sentence(error)}"
            ) from error

    @property
    def learning_rate(self) -> float:
        """In as few digits as tell its float32 from every other: 0.003, and not 0.003000000026."""
        return float(str(np.float32(self.model.optimizer.learning_rate)))

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        """Raises UserCodeError when the optimizer sets its own."""
        if self.scheduled:
            raise UserCodeError("model.learning_rate can't be changed: the optimizer follows a schedule of its own")
        self.model.optimizer.learning_rate = value

    def step(self, images: tf.Tensor, targets: tf.Tensor) -> StepResult:
        """One training step; one that float16's loss scaling skips is tried again with the smaller scale.

        Only a step that is applied keeps that scale. Short batches never reach the XLA-compiled function, which would
        compile each size."""
        step = self._compiled_step if int(images.shape[0]) == self._batch_size else self._step
        before = [np.array(variable) for variable in self._scaling]
        for _ in range(SCALINGS):
            loss, applied, skipped = step(images, targets)
            if not skipped:
                break
        if not applied:
            for variable, value in zip(self._scaling, before, strict=True):
                variable.assign(value)
        return StepResult(float(loss), bool(applied))

    def score(self, images: tf.Tensor, targets: tf.Tensor) -> Scored:
        """Loss, confusion and the first guesses in inference mode; nothing changes."""
        loss, confusion, guesses = self._score(images, targets)
        if not self.countable:
            return Scored(float(loss), None)
        return Scored(float(loss), confusion.numpy(), guesses.numpy())

    def state(self) -> dict[str, Array]:
        """A host copy of all variables of model and optimizer; key = path, repeated paths numbered in build order."""
        return {name: np.array(variable) for name, variable in self._named.items()}

    def load(self, state: Mapping[str, Array]) -> None:
        """Put saved values back. Raises CheckpointMismatch naming the variables; then nothing has changed."""
        refuse_misfits(state, {name: Shape(np.dtype(v.dtype), tuple(v.shape)) for name, v in self._named.items()})
        for name, variable in self._named.items():
            variable.assign(state[name])

    def optimizer_names(self) -> set[str]:
        """Those keys of the state that are the optimizer's."""
        own = {id(variable) for variable in self.model.optimizer.variables}
        return {name for name, variable in self._named.items() if id(variable) in own}

    def _output_shape(self, size: int) -> tuple[int, ...]:
        """What the model gives for one picture; this also makes the variables of layers that wait for a first call."""
        try:
            output = self.model(tf.zeros([1, size, size, 3], tf.uint8), training=False)
        except Exception as error:  # a user's model may raise anything
            raise UserCodeError(
                f"model.build = {self._name}: the model fails on a picture: {type(error).__name__}: {sentence(error)}"
            ) from error
        return tuple(output.shape) if isinstance(output, tf.Tensor) else ()

    def _guarded_step(self, images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Old values of all variables, the model's own train_step, and the old values back unless all is finite.

        Keras skips a step by not updating the weights; what its forward pass has moved is put back here. The loss scale
        stays as the step leaves it. Returns loss, whether the step holds, and whether loss scaling has skipped it.
        """
        undo = Undo(self._variables)
        old, scale = undo.values(), [tf.identity(variable.value) for variable in self._scaling[:1]]
        for metric in self.model.metrics:
            metric.reset_state()
        logs = self.model.train_step((images, targets))
        loss = tf.cast(logs["loss"], tf.float32)
        finite = tf.math.is_finite(loss)
        skipped = finite & (self._scaling[0].value < scale[0]) if self._scaling else tf.constant(False)
        applied = finite & ~skipped & undo.finite()

        def put_back() -> tf.Tensor:
            scaling = [tf.identity(variable.value) for variable in self._scaling]
            undo.put_back(old)
            for variable, value in zip(self._scaling, scaling, strict=True):
                variable.value.assign(value)
            return tf.constant(False)

        tf.cond(applied, lambda: tf.constant(True), put_back)
        return loss, applied, skipped

    def _scored(self, images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        predictions = self.model(images, training=False)
        loss = tf.cast(self.model.compute_loss(x=images, y=targets, y_pred=predictions, training=False), tf.float32)
        if not self.countable:
            return loss, tf.zeros([0, 0], tf.int64), tf.zeros([0], tf.uint8)
        truth = tf.reshape(tf.cast(targets, tf.int64), [-1])
        guesses = tf.argmax(predictions, axis=-1)
        guess = tf.reshape(guesses, [-1])
        known = truth < self._classes
        cells = tf.boolean_mask(truth, known) * self._classes + tf.boolean_mask(guess, known)
        counts = tf.math.bincount(tf.cast(cells, tf.int32), minlength=self._classes**2, dtype=tf.int64)
        confusion = tf.reshape(counts, [self._classes, self._classes])
        return loss, confusion, tf.cast(guesses[:GUESSES], tf.uint8)


def _loss_scaling(optimizer: keras.Optimizer) -> list[Any]:
    """A float16 model's loss scale, which Keras halves when scaled gradients overflow, and the steps since; else []."""
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return [optimizer.dynamic_scale, optimizer.step_counter] if scaled else []


def _variables(model: keras.Model) -> list[Any]:
    """Model and optimizer variables in build order; Keras' metric variables are reset every step and left out."""
    metrics = {id(v) for metric in model.metrics for v in metric.variables}
    return [v for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics]


def numbered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dict from pairs whose names may repeat: the second `a` becomes `a#2`."""
    seen: dict[str, int] = {}
    named: dict[str, Any] = {}
    for name, value in pairs:
        seen[name] = seen.get(name, 0) + 1
        named[name if seen[name] == 1 else f"{name}#{seen[name]}"] = value
    return named
