"""Three brokers: whatever leads or coordinates may die, and another one takes over."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import KafkaCluster
from tests.faults.judge import judge
from tests.faults.production import Production
from tests.faults.scene import ALL_TRAINED, resumed_after, sees_degraded, settle
from tests.faults.table import Results
from tests.faults.test_kafka_topics import PATIENCE_S, send, transaction
from tests.faults.visible import Lookout
from tests.faults.witness import WITNESS, witness_record
from tests.line.line import Service, nap, produce

pytestmark = [pytest.mark.kafka, pytest.mark.tf, pytest.mark.slow]
PARTITIONS = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with KafkaCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_dead_leader_costs_seconds_and_no_record(
    cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory, results: Results
) -> None:
    servers, name = cluster.bootstrap_servers, "led"
    cluster.create(name, PARTITIONS)
    with (
        Service(tmp_path_factory.mktemp("led"), servers, name, WITNESS) as service,
        Production(servers, name, witness_record, partitions=PARTITIONS) as production,
    ):
        service.until(lambda status: status["step"] >= 10)
        lookout, leader = Lookout(service), cluster.leader_of(name, 0)
        positions = service.status()["partitions"]
        cluster.brokers[leader].kill()
        killed = time.monotonic()
        visible = sees_degraded(lookout)
        while cluster.leader_of(name, 0) == leader:
            nap()
        elected_s = time.monotonic() - killed
        # Some of what the dead one led was read ahead: only offsets it had not even known count as recovered.
        ends = max(each["log_end"] or 0 for each in positions) + 40
        service.until(lambda status: all(each["position"] > ends for each in status["partitions"]))
        recovery_s = time.monotonic() - killed
        cluster.restart(leader)
        sent = production.stop()
        assert settle(service, servers, name)["worker"]["restarts"] == 0
        verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        "leader killed in a cluster of three",
        verdict,
        outcome=f"no restart; the new leader was there after {elected_s:.1f} s",
        visible=visible,
        recovery_s=recovery_s,
    )


@pytest.mark.slow
def test_a_transaction_outlives_its_coordinator(
    cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory, results: Results
) -> None:
    servers, name = cluster.bootstrap_servers, "coordinated"
    cluster.create(name, 3)  # one for each broker to lead, the coordinator too: else its end wouldn't be felt
    produce(servers, name, map(witness_record, range(40)), partitions=3)
    with Service(tmp_path_factory.mktemp("coordinated"), servers, name, WITNESS | ALL_TRAINED) as service:
        service.until(lambda status: status["records"]["trained"] == 40)
        recoveries = []
        for first, commit in ((100, True), (200, False)):
            writer = transaction(servers)
            send(writer, name, range(first, first + 40), partitions=3)
            lookout, coordinator = Lookout(service), cluster.coordinator()
            trained = service.status()["records"]["trained"]
            cluster.brokers[coordinator].kill()
            killed = time.monotonic()
            visible = sees_degraded(lookout)
            send(writer, name, range(first + 40, first + 80), partitions=3)
            writer.commit_transaction(PATIENCE_S) if commit else writer.abort_transaction(PATIENCE_S)
            produce(servers, name, map(witness_record, range(first + 80, first + 90)), partitions=3)
            resumed_after(service, trained)
            recoveries.append(time.monotonic() - killed)
            cluster.restart(coordinator)
        status = settle(service, servers, name)
        assert status["worker"]["restarts"] == 0
        verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 40 + 80 + 2 * 10
    results.add(
        "transaction coordinator killed in a cluster of three",
        verdict,
        outcome="no restart; committed records once, aborted ones never",
        visible=visible,
        rounds=len(recoveries),
        recovery_s=max(recoveries),
    )
