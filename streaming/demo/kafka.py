"""A real Apache Kafka for demo and tests: one KRaft node on loopback, without a system Java or Docker."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from streaming.demo.jars import Progress, silent
from streaming.demo.node import ONE_COPY, KafkaNode, new_cluster_id
from streaming.demo.ports import free_port


class EmbeddedKafka(KafkaNode):
    """One broker that lives in `directory` and dies with the process that started it.

    directory: data, settings and `kafka.log`; must be empty or an earlier broker's. config: Kafka's own settings,
    added to ours. Start it from the main thread: the JVM gets SIGKILL when the starting thread ends.
    """

    def __init__(
        self, directory: Path, *, config: Mapping[str, str] | None = None, progress: Progress = silent
    ) -> None:
        super().__init__(directory, progress=progress)
        self._config = dict(config or {})
        self._controller_port = 0

    def start(self) -> None:
        """Fetch the jars once, format once, start, and wait until the broker answers.

        Raises PenstockError: an extra is missing, or Maven can't be reached. KafkaUnavailable: dead or mute.
        """
        if not self._port:
            self._controller_port = free_port()
            self._configure(free_port())
            self.format(new_cluster_id(), "--standalone")
        self.launch()
        self.wait()

    def restart(self) -> None:
        """Start again on the same port and data, whether it was stopped, killed or is running."""
        self.stop()
        self.start()

    def move(self, port: int) -> None:
        """Start again on another port, which it advertises, with the same data."""
        self.stop()
        self._configure(port)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configure(self, port: int) -> None:
        settings = {
            **ONE_COPY,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            # A killed broker's registration keeps the next one waiting for this long; the default is 9 s.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            **self._config,
        }
        self.configure(1, port, self._controller_port, settings)
