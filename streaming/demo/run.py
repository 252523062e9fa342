"""The whole thing at once: a broker, a stream of drawn pets, the service, and an honest report.

Everything below the orchestration is what a user runs: `produce` and the service as processes, HTTP between them.
"""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console

from streaming.demo.child import log_tail, start_child, stop_child
from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.plan import (
    BROKEN_EVERY,
    PARTITIONS,
    Wishes,
    child_environment,
    make_empty,
    produce_command,
    score_command,
    topics,
)
from streaming.demo.ports import free_port, is_free
from streaming.demo.produce import ensure_topic
from streaming.demo.report import FreshScore, Report, mismatch, table
from streaming.demo.screen import Screen, Stage
from streaming.demo.sidecar import Sidecar, Snapshot
from streaming.demo.termination import terminable
from streaming.errors import PenstockError
from streaming.kafka.broker import Broker
from streaming.settings import KafkaSettings
from streaming.settings_sources import load_settings

NO_PROGRESS_S = 180.0
_TEN = 10


class Demo:
    """One run. Children die with it, whatever ends it."""

    def __init__(self, wishes: Wishes, screen: Screen) -> None:
        self._wishes = wishes
        self._screen = screen
        self._directory = wishes.directory or Path("demo-run") / f"{datetime.now():%Y%m%d-%H%M%S}"  # noqa: DTZ005
        self._losses: dict[int, float] = {}
        self._started = time.monotonic()

    def run(self) -> Report:
        """Returns when every record is settled and scored; with `forever` only Ctrl-C ends it. Raises PenstockError."""
        make_empty(self._directory)
        with ExitStack() as children, self._says_goodbye():
            own = self._wishes.bootstrap_servers
            servers = own or children.enter_context(self._kafka())
            port = self._wishes.port or (8080 if is_free(8080) else free_port())
            topic = f"pets-demo-{secrets.token_hex(3)}" if own else "pets"
            environment = child_environment(servers, topic, self._directory / "checkpoints", port)
            self._create_topics(servers, topics(environment))
            sidecar = Sidecar(environment, port, self._directory / "service.log")
            children.callback(sidecar.stop)
            sidecar.start()
            log = self._directory / "produce.log"
            # Nice, so that drawing takes only what training leaves.
            producer = start_child(produce_command(self._wishes), log=log, environment=environment, niceness=10)
            children.callback(stop_child, producer, 10)
            broker = children.enter_context(Broker(_kafka_settings(servers, topic), "penstock-demo"))
            last = self._train(sidecar, producer, log, broker)
            checkpoint_id = self._checkpoint(sidecar)
            fresh = self._score(environment, checkpoint_id)
            last = sidecar.snapshot() or last
            self._stop(sidecar)
        return self._report(last, checkpoint_id, fresh)

    @contextmanager
    def _says_goodbye(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._screen.stage("stopping everything")
            raise

    @contextmanager
    def _kafka(self) -> Iterator[str]:
        stage = self._screen.stage("Apache Kafka", total=1.0)
        home = self._directory / "kafka"
        broker = EmbeddedKafka(home, progress=lambda text, fraction: stage.update(fraction, note=text))
        try:
            with broker:
                stage.done(f"Apache Kafka 4.1.0 at {broker.bootstrap_servers}")
                yield broker.bootstrap_servers
        finally:
            shutil.rmtree(home / "data", ignore_errors=True)

    def _create_topics(self, servers: str, wanted: dict[str, int]) -> None:
        stage = self._screen.stage("topics")
        for name, partitions in wanted.items():
            ensure_topic(_kafka_settings(servers, name), partitions)
        stage.done("topics " + ", ".join(f"{name} ({partitions})" for name, partitions in wanted.items()))

    def _train(self, sidecar: Sidecar, producer: subprocess.Popen[bytes], log: Path, broker: Broker) -> Snapshot:
        """Watch until every record that was produced is settled."""
        total = None if self._wishes.forever else self._wishes.records
        producing = self._screen.stage("drawing pets and sending them", total)
        training = self._screen.stage("training", total)
        snapshot: Snapshot | None = None
        moved, moved_at = (0, 0), time.monotonic()
        while True:
            snapshot = sidecar.snapshot() or snapshot
            produced = _has_ended(producer, log)
            in_topic = _records_in(broker)
            producing.update(in_topic, note=f"{in_topic:,}")
            if snapshot is not None:
                self._show(snapshot, sidecar.url, training)
                if produced and snapshot.lag == 0 and snapshot.settled >= self._wishes.records:
                    break
                if (snapshot.settled, in_topic) != moved:
                    moved, moved_at = (snapshot.settled, in_topic), time.monotonic()
            if time.monotonic() - moved_at > NO_PROGRESS_S:
                raise PenstockError(f"nothing moved for {NO_PROGRESS_S:.0f} s, see the logs in {self._directory}")
            time.sleep(0.1 if snapshot is None or snapshot.step < 2 * _TEN else 0.4)
        producing.done(f"{self._wishes.records:,} records sent and acknowledged")
        training.done(f"all {snapshot.settled:,} records settled")
        return snapshot

    def _show(self, snapshot: Snapshot, url: str, training: Stage) -> None:
        if snapshot.loss is not None and snapshot.step:
            self._losses[snapshot.step] = snapshot.loss
        training.update(snapshot.settled, note=f"{snapshot.settled:,}" if snapshot.settled else snapshot.doing)
        self._screen.training(snapshot, url)

    def _checkpoint(self, sidecar: Sidecar) -> str:
        stage = self._screen.stage("taking a checkpoint over HTTP")
        checkpoint_id = sidecar.checkpoint()
        stage.done(f"checkpoint {checkpoint_id}")
        return checkpoint_id

    def _score(self, environment: dict[str, str], checkpoint_id: str) -> FreshScore:
        """What a process that has nothing but the checkpoint makes of pets from another seed."""
        stage = self._screen.stage("a fresh process scores the checkpoint on unseen pets")
        command, log = score_command(self._wishes, environment, checkpoint_id), self._directory / "score.log"
        output = self._directory / "score.json"
        scoring = start_child(command, log=log, output=output, environment=environment)
        try:
            scoring.wait(NO_PROGRESS_S)
        except subprocess.TimeoutExpired:
            pass  # stopped below, which gives a code that isn't 0
        finally:
            code = stop_child(scoring, 1)
        if code != 0:
            raise PenstockError(f"scoring ended with code {code}, see {log}:\n{log_tail(log)}")
        found = json.loads(output.read_text().splitlines()[-1])
        fresh = FreshScore(**{name: found[name] for name in FreshScore._fields})
        stage.done(f"a fresh process scores mean IoU {fresh.mean_iou:.3f}")
        return fresh

    def _stop(self, sidecar: Sidecar) -> None:
        stage = self._screen.stage("stopping the service")
        code = sidecar.stop()
        if code != 0:
            raise PenstockError(f"the service ended with code {code} after SIGTERM, see {sidecar.log}")
        stage.done("the service left in good order")

    def _report(self, last: Snapshot, checkpoint_id: str, fresh: FreshScore) -> Report:
        steps = sorted(self._losses)
        early = [self._losses[step] for step in steps if step <= _TEN] or [self._losses[step] for step in steps[:1]]
        late = [self._losses[step] for step in steps if step > last.step - _TEN]
        return Report(
            produced=self._wishes.records,
            broken=self._wishes.records // BROKEN_EVERY,
            last=last,
            checkpoint_id=checkpoint_id,
            loss_at_start=sum(early) / len(early) if early else None,
            loss_at_end=sum(late) / len(late) if late else None,
            fresh=fresh,
            wall_s=time.monotonic() - self._started,
            directory=self._directory,
        )


def run_demo(wishes: Wishes, console: Console) -> int:
    """Run it and print the report; the exit code. Ctrl-C and SIGTERM end all children in order."""
    try:
        with terminable(), Screen(console) as screen:
            report = Demo(wishes, screen).run()
    except KeyboardInterrupt:
        return 0 if wishes.forever else 130
    console.print(table(report))
    wrong = mismatch(report)
    if wrong:
        console.print(f"penstock: {wrong}", style="red", markup=False)
    return 1 if wrong else 0


def _kafka_settings(servers: str, topic: str) -> KafkaSettings:
    """With the credentials that the environment holds."""
    return load_settings(flags={"kafka": {"bootstrap_servers": servers, "topic": topic}}).kafka


def _records_in(broker: Broker) -> int:
    """The topic is this demo's own, so its ends count its records."""
    return sum(broker.log_ends(range(PARTITIONS)).values())


def _has_ended(producer: subprocess.Popen[bytes], log: Path) -> bool:
    code = producer.poll()
    if code:
        raise PenstockError(f"producing ended with code {code}, see {log}:\n{log_tail(log)}")
    return code == 0
