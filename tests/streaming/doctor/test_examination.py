"""The whole examination: TensorFlow, the model, the reader, records of the topic, a batch on the device."""

from pathlib import Path

import pytest

from streaming.doctor.cli import findings
from streaming.doctor.finding import Verdict
from tests.conftest import Broker, TopicFactory
from tests.line.line import produce, record
from tests.streaming.doctor.test_kafka_checks import settings

pytestmark = [pytest.mark.kafka, pytest.mark.tf]


def test_a_batch_of_the_topic_is_read_decoded_and_trained(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    name = topic(2)
    produce(kafka.bootstrap_servers, name, [*(record(n) for n in range(40)), b"bad"], 2)
    base = settings(kafka.bootstrap_servers, tmp_path, name)
    small = base.pipeline.model_copy(update={"image_size": 16, "batch_size": 8})
    wanted = base.model_copy(update={"pipeline": small, "model": base.model.model_copy(update={"width": 4})})
    found = {finding.check: finding for finding in findings(wanted, quick=False)}
    assert {
        check: found[check].verdict for check in ("tensorflow", "model", "reader", "batch", "room")
    } == dict.fromkeys(("tensorflow", "model", "reader", "batch", "room"), Verdict.OK)
    assert "tensorflow-io has read 8 records" in found["reader"].detail
    assert found["decode"].verdict is Verdict.WARNING
    assert found["decode"].detail.startswith("1 of 8 records are bad: 1 not_an_example")
    assert found["batch"].detail.startswith("8 records of the topic: loss ")
    assert "CPU" in found["tensorflow"].detail or "GPU" in found["tensorflow"].detail
    assert not (tmp_path / "checkpoints").exists()
