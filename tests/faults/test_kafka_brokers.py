"""Brokers that freeze, die, move, or aren't there yet."""

import signal
import time

import pytest
from kafka import KafkaAdminClient

from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.ports import free_port
from tests.conftest import TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.production import Production
from tests.faults.scene import ALL_TRAINED, READERS, create_topic, nap_until, resumed_after, sees_degraded, settle
from tests.faults.table import Results
from tests.faults.visible import Lookout, samples
from tests.faults.witness import WITNESS, witness_record
from tests.line.line import Service, produce

pytestmark = [pytest.mark.kafka, pytest.mark.tf]


@pytest.mark.slow
@pytest.mark.parametrize("frozen_s", [20.0, 60.0])
def test_a_frozen_broker_is_waited_for(
    killable_kafka: EmbeddedKafka, topic: TopicFactory, witness: ServeWitness, results: Results, frozen_s: float
) -> None:
    servers, name = killable_kafka.bootstrap_servers, topic(2)
    service = witness(name)
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] >= 5)
        lookout, frozen = Lookout(service), time.monotonic()
        killable_kafka.freeze()
        visible = sees_degraded(lookout)
        nap_until(frozen + frozen_s)
        trained = service.status()["records"]["trained"]
        killable_kafka.thaw()
        recovery_s = resumed_after(service, trained)
        sent = production.stop()
    assert settle(service, servers, name)["worker"]["restarts"] == 0
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        f"broker frozen for {frozen_s:.0f} s",
        verdict,
        outcome="degraded, goes on by itself; no restart",
        visible=visible,
        recovery_s=recovery_s,
    )


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_killed_broker_comes_back_under_live_production(
    killable_kafka: EmbeddedKafka, topic: TopicFactory, witness: ServeWitness, results: Results, reader: str
) -> None:
    servers, name = killable_kafka.bootstrap_servers, topic(2)
    service = witness(name, {"kafka.reader": reader})
    recoveries = []
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] >= 5)
        for _ in range(2):
            lookout = Lookout(service)
            killable_kafka.kill()
            visible = sees_degraded(lookout)
            trained = service.status()["records"]["trained"]
            killable_kafka.restart()
            recoveries.append(resumed_after(service, trained))
            service.until(lambda status: status["degraded"] is None)  # what it had read ahead is trained before that
        sent = production.stop()
    status = settle(service, servers, name)
    assert status["worker"]["restarts"] == 0
    assert status["reader"].startswith(reader)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        f"broker killed and restarted ({reader})",
        verdict,
        outcome="degraded, goes on by itself; no restart",
        visible=visible,
        rounds=len(recoveries),
        recovery_s=max(recoveries),
    )


@pytest.mark.slow
def test_a_moved_broker_is_followed_where_the_settings_name_its_new_place(
    tmp_path_factory: pytest.TempPathFactory, results: Results
) -> None:
    """By itself when the new port is among the bootstrap servers; otherwise after a restart with the new setting."""
    folder, name, second, third = tmp_path_factory.mktemp("moves"), "moves", free_port(), free_port()
    with EmbeddedKafka(folder / "kafka") as broker:
        create_topic(broker.bootstrap_servers, name)
        produce(broker.bootstrap_servers, name, map(witness_record, range(100)))
        known = f"{broker.bootstrap_servers},127.0.0.1:{second}"
        with Service(folder, known, name, WITNESS | ALL_TRAINED) as service:
            settle(service, broker.bootstrap_servers, name)
            broker.move(second)
            produce(broker.bootstrap_servers, name, map(witness_record, range(100, 200)))
            recovery_s = resumed_after(service, 100)
            assert settle(service, broker.bootstrap_servers, name)["worker"]["restarts"] == 0

            lookout = Lookout(service)
            broker.move(third)
            visible = sees_degraded(lookout)
            produce(broker.bootstrap_servers, name, map(witness_record, range(200, 300)))
            assert service.signal(signal.SIGTERM) == 0
        with Service(folder, broker.bootstrap_servers, name, WITNESS | ALL_TRAINED) as service:
            assert settle(service, broker.bootstrap_servers, name)["degraded"] is None
            verdict = judge(service, broker.bootstrap_servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 300
    results.add(
        "broker moved to another port",
        verdict,
        outcome="followed by itself to a port that the settings name; else degraded until a restart with the new one",
        visible=visible,
        rounds=2,
        recovery_s=recovery_s,
    )


def test_without_a_broker_or_a_topic_it_waits_and_added_partitions_are_read_from_their_beginning(
    killable_kafka: EmbeddedKafka, witness: ServeWitness, results: Results
) -> None:
    servers, name = killable_kafka.bootstrap_servers, f"late-{time.time_ns()}"
    killable_kafka.kill()
    began = time.monotonic()
    service = witness(name, ALL_TRAINED)
    service.until(lambda status: "connection refused" in str(status["degraded"]), deadline_s=15)
    assert service.events("kafka_unavailable")
    assert samples(service)["penstock_degraded"] == 1
    visible = f"status, log `kafka_unavailable`, `penstock_degraded` {time.monotonic() - began:.1f} s"
    service.until(lambda status: status["state"] == "waiting")
    killable_kafka.restart()
    service.until(lambda status: "does not exist" in str(status["degraded"]), deadline_s=15)
    create_topic(servers, name)
    produce(servers, name, map(witness_record, range(100)))
    created_s = resumed_after(service, 0)

    lookout = Lookout(service)
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_partitions({name: 3})
    admin.close()
    produce(servers, name, map(witness_record, range(100, 400)), partitions=3)
    grown_s = resumed_after(service, 200)
    grown = lookout.sees(
        status=lambda status: len(status["partitions"]) == 3,
        event="partition_added",
        metric=f"penstock_position{{2,{name}}}",
    )
    status = settle(service, servers, name)
    assert status["degraded"] is None
    assert status["worker"]["restarts"] == 0
    assert [each["origin"] for each in status["partitions"]] == [0, 0, 0]
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 400
    results.add(
        "broker absent at the start, topic created later",
        verdict,
        outcome="degraded, begins by itself",
        visible=visible,
        recovery_s=created_s,
    )
    results.add(
        "partitions added while training",
        verdict,
        outcome="read from their first offset on",
        visible=grown,
        recovery_s=grown_s,
    )
