"""The service as a user meets it: what comes in, what is said about it, how it stops."""

import json
import signal
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import simplejpeg
from kafka import KafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.pets import draw_pet, encode_pet
from streaming.demo.profiles import Profile, Shape, encode_record
from streaming.records.example import RAW, encode_example
from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.line import Service, picture, produce, record, settled

pytestmark = [pytest.mark.kafka, pytest.mark.tf]


def bad_records() -> dict[str, list[bytes]]:
    """By the reason that each must get."""
    image, mask = picture(1)
    bomb = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    bomb = bomb[:16] + (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big") + bomb[24:]
    nines = cv2.imencode(".png", np.full((24, 24), 9, np.uint8))[1].tobytes()
    small = cv2.imencode(".png", np.zeros((20, 24), np.uint8))[1].tobytes()
    return {
        "image_undecodable": [
            encode_example(image=image[: len(image) // 2], mask=mask),
            encode_example(image=b"\x00" * 300, mask=mask),
        ],
        "image_pixels": [encode_example(image=bomb, mask=mask)],
        "mask_size": [encode_example(image=image, mask=small)],
        "mask_range": [encode_example(image=image, mask=nines)],
        "raw_size": [encode_example(image=bytes(767), image_encoding=RAW, height=16, width=16, mask=mask)],
        "not_an_example": [b"\xff" * 100, b"\n"],
    }


def odd_records() -> list[bytes]:
    """Legal, if unusual; among them one of each profile."""
    pixels = simplejpeg.decode_jpeg(picture(1)[0])
    mask = picture(1)[1]
    six_megapixels = cv2.resize(pixels, (3000, 2000))
    pictures = [
        (cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(), mask),
        (cv2.imencode(".jpg", pixels[..., 0])[1].tobytes(), mask),
        (cv2.imencode(".png", np.dstack([pixels, pixels[..., :1]]))[1].tobytes(), mask),
        (simplejpeg.encode_jpeg(pixels[:1, :1]), cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()),
        (simplejpeg.encode_jpeg(six_megapixels), cv2.imencode(".png", np.zeros((16, 16), np.uint8))[1].tobytes()),
    ]
    pet = encode_pet(draw_pet(1, 1))
    shapes = [encode_record(Shape(kind, 16), *pet, filename="pet.jpg", event_time_ms=1) for kind in Profile]
    return shapes + [encode_example(image=image, mask=target) for image, target in pictures]


def counters(service: Service) -> dict[str, float]:
    """Samples of /metrics; `name{label}` for those with a reason or a kind."""
    found = {}
    for family in text_string_to_metric_families(service.exposition()):
        for sample in family.samples:
            label = sample.labels.get("reason") or sample.labels.get("kind")
            found[f"{sample.name}{{{label}}}" if label else sample.name] = sample.value
    return found


def test_bad_records_are_counted_by_reason_odd_ones_are_trained_and_the_sums_match(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, letters = topic(2), topic(1)
    bad, odd = bad_records(), odd_records()
    values = [record(n) for n in range(60)] + odd + [one for group in bad.values() for one in group] + [b"", None]
    produced = produce(kafka.bootstrap_servers, name, values, 2)
    service = serve(name, {"kafka.dead_letter_topic": letters, "evaluation.fraction": 0})

    status = service.settled(produced)
    assert status["state"] in ("training", "waiting")
    assert status["records"]["trained"] == 60 + len(odd)
    assert status["records"]["skipped"] == 2
    assert settled(status) == produced == status["records"]["fetched"]
    seen = counters(service)
    for reason, group in bad.items():
        assert seen[f"penstock_records_dead_lettered_total{{{reason}}}"] == len(group)
    assert seen["penstock_records_trained_total"] == seen["penstock_ledger_records{trained}"] == 60 + len(odd)
    assert seen["penstock_records_skipped_total{empty}"] == 2

    # Pause holds, also over a restart of the worker; what arrives meanwhile waits.
    assert service.post("/v1/pause").status_code == 200
    service.until(lambda status: status["state"] == "paused")
    # A live setting counts at once, stands in the checkpoints made from then on, and outlives the worker.
    patched = httpx.patch(f"{service.url}/v1/settings", json={"model.learning_rate": 0.0125})
    assert patched.status_code == 200
    service.until(lambda status: status["learning_rate"] == pytest.approx(0.0125))
    service.checkpoint()  # what isn't in one when the worker dies is owed again
    line = service.get("/v1/checkpoints")["checkpoints"]
    changes = [change for one in line for change in one["setting_changes"]]
    assert [(each["before"], each["after"], each["source"]) for each in changes] == [(0.003, 0.0125, "api")]
    service.kill_worker()
    produce(kafka.bootstrap_servers, name, [record(n) for n in range(9)], 2)
    paused = service.until(lambda status: status["worker"]["restarts"] == 1 and status["state"] == "paused")
    assert settled(paused) == produced
    assert paused["learning_rate"] == pytest.approx(0.0125)
    assert service.post("/v1/resume").status_code == 200
    service.settled(produced + 9)

    # Ctrl-C: what has been trained is in the final checkpoint.
    assert service.signal(signal.SIGINT) == 0
    newest = max(path for path in service.checkpoints.iterdir() if path.is_dir() and path.name.startswith("e"))
    manifest = json.loads((newest / "manifest.json").read_text())
    assert sum(manifest["records"].values()) == produced + 9


def test_a_drain_trains_what_is_read_before_it_stops(kafka: Broker, topic: TopicFactory, serve: Serve) -> None:
    name = topic(2)
    produced = produce(kafka.bootstrap_servers, name, [record(n % 50) for n in range(6000)], 2)
    service = serve(name, {"kafka.range_records": 64})
    read = service.until(lambda status: status["step"] >= 3)["records"]["fetched"]
    assert service.post("/v1/stop?drain=true").status_code == 200
    status = service.until(lambda status: status["state"] == "stopped")
    assert read <= settled(status) < produced
    assert status["records"]["trained"] > 0
    assert (status["worker"]["pid"], status["worker"]["restarts"], status["problems"]) == (None, 0, [])


def test_a_bounded_run_with_a_users_model_format_and_preprocessing_settles_all_and_exits_0(
    kafka: Broker, topic: TopicFactory, tmp_path: Path
) -> None:
    name = topic(2)
    values = [json.dumps({"grey": 256 if n % 10 == 3 else n}).encode() for n in range(100)]
    produce(kafka.bootstrap_servers, name, values, 2)
    hooks = {
        "model.build": "user_code:build",
        "pipeline.preprocess": "user_code:preprocess",
        "records.parse": "user_code:parse",
        "evaluation.fraction": 0,
    }
    service = Service(tmp_path, kafka.bootstrap_servers, name, hooks)
    service.start("train", "--until", "now")
    assert service.wait() == 0, service.log.read_text()
    newest = max(path for path in service.checkpoints.iterdir() if path.is_dir() and path.name.startswith("e"))
    counts = json.loads((newest / "manifest.json").read_text())["records"]
    assert counts["trained"] == 90
    assert counts["dead_lettered"] == 10


def test_without_broker_or_topic_it_starts_says_why_and_trains_once_they_are_there(
    killable_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    servers, name = killable_kafka.bootstrap_servers, "comes-late"
    killable_kafka.kill()
    with Service(tmp_path, servers, name) as service:
        status = service.until(lambda status: status["degraded"], deadline_s=15)
        assert "connection refused" in status["degraded"]["detail"]
        assert service.get("/livez")["status"] == "ok"
        killable_kafka.restart()
        status = service.until(lambda status: "does not exist" in str(status["degraded"]))
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        produced = produce(servers, name, [record(n) for n in range(20)])
        status = service.settled(produced)
        assert status["degraded"] is None
        assert status["worker"]["restarts"] == 0


def test_without_the_right_to_read_it_says_so_within_15_s(tmp_path: Path) -> None:
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with EmbeddedKafka(tmp_path / "kafka", config=rights) as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        admin.create_topics({"secret": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        deny_reading(admin, "secret")
        admin.close()
        with Service(tmp_path, broker.bootstrap_servers, "secret") as service:
            status = service.until(lambda status: status["degraded"], deadline_s=15)
            assert "no right to read topic secret" in status["degraded"]["detail"]
            assert service.events("kafka_unavailable")


def deny_reading(admin: KafkaAdminClient, topic: str) -> None:
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    allow = ACL("User:ANONYMOUS", "*", ACLOperation.DESCRIBE, ACLPermissionType.ALLOW, pattern)
    deny = ACL("User:ANONYMOUS", "*", ACLOperation.READ, ACLPermissionType.DENY, pattern)
    admin.create_acls([allow, deny])


def test_memory_after_500_ranges_is_that_after_50(kafka: Broker, topic: TopicFactory, serve: Serve) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [record(n % 200) for n in range(2100)])
    service = serve(name, {"kafka.range_records": 4, "pipeline.shuffle_buffer": 16, "evaluation.fraction": 0})

    def resident_mb(status: dict) -> float:
        text = Path(f"/proc/{status['worker']['pid']}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    early = resident_mb(service.until(lambda status: status["records"]["fetched"] >= 50 * 4))
    late = resident_mb(service.until(lambda status: status["records"]["fetched"] >= 500 * 4))
    print(f"resident after 50 ranges {early:.0f} MB, after 500 {late:.0f} MB, ratio {late / early:.3f}")
    assert late <= early * 1.05
