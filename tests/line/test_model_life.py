"""A model that is changed, and a training that begins anew, on a real topic."""

import signal
from pathlib import Path

import pytest

from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.line import produce, record
from tests.line.test_line import counters
from tests.line.test_restore import done, intervals

pytestmark = [pytest.mark.kafka, pytest.mark.tf, pytest.mark.slow]


def test_changed_model_goes_on_without_a_record_trained_twice_and_a_new_run_trains_all_again(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    first = serve(name, {"evaluation.interval_s": 0.5})
    produced = produce(servers, name, [record(n) for n in range(120)])
    before = first.settled(produced)
    old = first.checkpoint()
    assert first.signal(signal.SIGTERM) == 0

    service = serve(name, {"evaluation.interval_s": 0.5, "model.classes": 4})
    failed = service.until(lambda status: status["state"] == "failed")
    assert failed["problems"][0]["type"].endswith("checkpoint-mismatch")
    newest = service.get("/v1/checkpoints")["checkpoints"][0]["id"]
    made = done(service, service.post(f"/v1/checkpoints/{newest}/adapt", init=["head/*"]))["result"]
    assert made["kept"] > made["fresh"] > 0
    assert intervals(service, made["checkpoint_id"]) == intervals(service, old)
    produced += produce(servers, name, [record(n) for n in range(120, 200)])
    adapted = service.settled(produced)
    again = counters(service)["penstock_records_trained_total"]
    assert again == adapted["records"]["trained"] - before["records"]["trained"]
    assert adapted["step"] > before["step"]
    service.checkpoint()

    begun = done(service, service.post("/v1/new-run"))["result"]
    assert begun["checkpoints"] == len(list(Path(begun["archive"]).glob("e*-s*[0-9]")))
    fresh = service.until(
        lambda status: (now := status["worker"]["started_at"]) and now > adapted["worker"]["started_at"]
    )
    assert fresh["worker"]["pid"] != adapted["worker"]["pid"]
    anew = service.settled(produced)
    assert anew["records"]["trained"] == adapted["records"]["trained"]
    assert counters(service)["penstock_records_trained_total"] == again + anew["records"]["trained"]
    assert len(service.events("training_begins")) == 2
    assert service.get("/v1/checkpoints")["checkpoints"][-1]["cause"] in ("start", "periodic")
