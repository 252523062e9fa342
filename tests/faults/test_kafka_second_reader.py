"""`kill -9` with the second reader; the other faults of Kafka are run with both, each beside its own."""

import random
import time
from collections import Counter

import pytest

from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.kills import Killer, Phase
from tests.faults.production import Production
from tests.faults.scene import settle
from tests.faults.table import Results
from tests.faults.test_kill_rounds import EAGER, value
from tests.faults.visible import Lookout

pytestmark = [pytest.mark.kafka, pytest.mark.tf, pytest.mark.slow]
PARTITIONS = 2
MISSES = 8
WANTED = [(Phase.READ, "worker"), (Phase.STEP, "worker"), (Phase.READ, "sidecar")]


@pytest.mark.slow
def test_kills_with_the_second_reader_lose_nothing_and_repeat_nothing(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    name, servers, seed = topic(PARTITIONS), kafka.bootstrap_servers, time.time_ns() % 1_000_000
    service = witness(name, {**EAGER, "kafka.reader": "confluent"})
    with Production(servers, name, value, partitions=PARTITIONS, rate=30) as production:
        service.until(lambda status: status["step"] > 5)
        lookout = Lookout(service)
        killer, kills, missed = Killer(service, random.Random(seed)), [], 0
        for phase, victim in WANTED:
            while (kill := killer.round(phase, victim)) is None:
                missed += 1
                assert missed <= MISSES, "the kills prove nothing"
            if not kills:
                visible = lookout.sees(
                    status=lambda status: status["worker"]["restarts"] >= 1,
                    event="worker_exited",
                    fields={"reason": "killed", "detail": "SIGKILL"},
                    metric="penstock_worker_restarts_total{killed}",
                )
            kills.append(kill)
        sent = production.stop()
    status = settle(service, servers, name)
    assert status["reader"].startswith("confluent")
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        "kill -9 (confluent)",
        verdict,
        rounds=len(kills),
        recovery_s=max(kill.recovery_s for kill in kills),
        outcome=f"nothing lost or repeated; {dict(Counter(kill.victim for kill in kills))}, seed {seed}",
        visible=visible,
    )
