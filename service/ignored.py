"""Settings that somebody gave and that change nothing, each with the reason. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from streaming.control.messages import RateFrom
from streaming.new_run import HELD, changed
from streaming.settings import Settings
from streaming.settings_sources import Origins


def without_effect(settings: Settings, origins: Origins) -> dict[str, str]:
    """name -> why, of those that are given and that other settings make idle."""
    return {name: why for name, why in _idle(settings) if name in origins}


def begun_otherwise(began: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """The same of those that are fixed since this training began. began: the newest checkpoint's account of them."""
    differing = changed(began, settings)
    return {name: f"this training began with {differing[name][0]}" for name in HELD if name in differing}


def learning_rate(rate: float | None, rate_from: RateFrom) -> str | None:
    """Why model.learning_rate isn't what the optimizer uses; None where it is. rate: the optimizer's."""
    match rate_from:
        case "setting":
            return None
        case "schedule":
            return "the optimizer follows a schedule of its own"
        case "model":
            return f"the model's own optimizer is at {rate}; set the rate over HTTP, or let model.build use the setting"


def _idle(settings: Settings) -> Iterator[tuple[str, str]]:
    kafka, pipeline, model = settings.kafka, settings.pipeline, settings.model
    for name in type(kafka).model_fields:
        if name.startswith("ssl_") and "SSL" not in kafka.security_protocol:
            yield f"kafka.{name}", f"kafka.security_protocol is {kafka.security_protocol}"
        if name.startswith("sasl_") and "SASL" not in kafka.security_protocol:
            yield f"kafka.{name}", f"kafka.security_protocol is {kafka.security_protocol}"
    if settings.checkpoint.directory is not None:
        yield "checkpoint.base", "checkpoint.directory is set"
    if model.build is not None:
        yield "model.width", "model.build makes the model"
    if pipeline.preprocess is not None:
        yield "pipeline.augment", "pipeline.preprocess replaces it"
    if pipeline.deterministic:
        for name in ("shuffle_buffer", "backlog_window"):
            yield f"pipeline.{name}", "pipeline.deterministic keeps one order"
    if settings.evaluation.fraction == 0:
        for name in ("size", "interval_s"):
            yield f"evaluation.{name}", "evaluation.fraction is 0"
