"""`kill -9` at random instants under live production: nothing lost, nothing trained twice, and soon at work again."""

import random
import time
from collections import Counter
from statistics import median

import pytest

from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.kills import Kill, Killer, Phase
from tests.faults.production import Production
from tests.faults.scene import settle
from tests.faults.table import Results
from tests.faults.visible import Lookout
from tests.faults.witness import CODES, witness_record

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

PARTITIONS = 3
CI_ROUNDS, ALL_ROUNDS = 5, 20
MISSES = 3  # rounds that prove nothing, a round that does
EAGER = {
    "checkpoint.interval_s": 2,
    "checkpoint.keep_hourly": 0,
    "checkpoint.keep_daily": 0,
    "service.restart_budget": 1000,
    "service.restart_backoff_s": 0.05,
}


def value(number: int) -> bytes:
    """Every fiftieth record is bad."""
    return b"nonsense" if number % 50 == 49 else witness_record(number % CODES)


def plan(rounds: int, rng: random.Random) -> list[tuple[Phase, str]]:
    """Phases in turn, every third kill for the sidecar, in random order; both always occur."""
    phases = [list(Phase)[number % len(Phase)] for number in range(rounds)]
    victims = ["sidecar" if number % 3 == 1 else "worker" for number in range(rounds)]
    kills = list(zip(phases, victims, strict=True))
    rng.shuffle(kills)
    return kills


@pytest.mark.timeout(7200)
def test_kill_rounds_lose_nothing_and_repeat_nothing(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results, pytestconfig: pytest.Config
) -> None:
    rounds = pytestconfig.getoption("--rounds") or (ALL_ROUNDS if pytestconfig.getoption("--faults") else CI_ROUNDS)
    seed = time.time_ns() % 1_000_000
    rng = random.Random(seed)
    print(f"seed {seed}")
    name, servers = topic(PARTITIONS), kafka.bootstrap_servers
    kills: list[Kill] = []
    service = witness(name, EAGER)
    with Production(servers, name, value, partitions=PARTITIONS, rate=30) as production:
        service.until(lambda status: status["step"] > 5)
        lookout = Lookout(service)
        service.kill_worker()
        seen = lookout.sees(
            status=lambda status: status["worker"]["restarts"] == 1,
            event="worker_exited",
            fields={"reason": "killed", "detail": "SIGKILL"},
            metric="penstock_worker_restarts_total{killed}",
        )
        service.until(lambda status: status["step"] > 5 and status["state"] == "training")
        killer, missed = Killer(service, rng), 0
        for phase, victim in plan(rounds, rng):
            while (kill := killer.round(phase, victim)) is None:
                missed += 1
                assert missed <= MISSES * rounds, "the kills prove nothing"
            print(f"{len(kills) + 1}: {kill}")
            kills.append(kill)
        sent = production.stop()
        settle(service, servers, name)
        verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    took = [kill.recovery_s for kill in kills]
    phases, victims = Counter(kill.phase.value for kill in kills), Counter(kill.victim for kill in kills)
    outcome = f"{dict(phases)} {dict(victims)}, seed {seed}, recovery median {median(took):.1f} s, {missed} not counted"
    results.add("kill -9", verdict, rounds=rounds, recovery_s=max(took), outcome=outcome, visible=seen)
