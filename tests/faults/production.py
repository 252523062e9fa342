"""A producer that goes on while brokers come and go: every record is acknowledged sooner or later, in its order."""

import threading
from collections.abc import Callable

from kafka import KafkaProducer

GIVE_UP_MS = 180_000


class Production:
    """Sends `value(0)`, `value(1)`, … at `rate` records/s, round-robin, from a thread; a context manager.

    Idempotent, so a retried record stands once in the log. sent: how many are acknowledged; read it after `stop`.
    """

    def __init__(
        self, servers: str, topic: str, value: Callable[[int], bytes], *, partitions: int = 1, rate: float = 40.0
    ) -> None:
        self._servers = servers
        self._topic = topic
        self._value = value
        self._partitions = partitions
        self._pause_s = 1 / rate
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="production", daemon=True)
        self.sent = 0

    def __enter__(self) -> "Production":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def stop(self) -> int:
        """Wait for the last acknowledgement; how many records there are."""
        self.__exit__()
        if self._failed is not None:
            raise AssertionError("a record was never acknowledged") from self._failed
        return self.sent

    def _run(self) -> None:
        try:
            self._produce()
        except Exception as error:  # noqa: BLE001  # told by `stop`, on the test's own thread
            self._failed = error

    def _produce(self) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._servers.split(","),
            acks="all",
            delivery_timeout_ms=GIVE_UP_MS,
            max_block_ms=GIVE_UP_MS,
            reconnect_backoff_max_ms=500,
            request_timeout_ms=5_000,
        )
        futures = []
        while not self._stopping.wait(self._pause_s):
            number = len(futures)
            futures.append(
                producer.send(self._topic, self._value(number), key=b"%d" % number, partition=number % self._partitions)
            )
        for future in futures:
            future.get(timeout=GIVE_UP_MS / 1000)
        self.sent = len(futures)
        producer.close()
