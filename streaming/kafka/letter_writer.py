"""Writes many letters at once and waits until all replicas have them."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, MessageSizeTooLargeError

from streaming.kafka.broker import client_config, translated
from streaming.kafka.letter import Letter, reduced
from streaming.settings import KafkaSettings

DELIVERY_TIMEOUT_S = 10.0
BATCH_BYTES = 16_384
UNKNOWN_LIMIT = 1 << 26  # bytes: without the right to ask for the topic's limit the broker decides


class Written(NamedTuple):
    """durable: the letters' numbers; refusal: why one of the others isn't."""

    durable: set[int]
    refusal: str | None


class LetterWriter:
    """Belongs to one thread. topic: of the letters."""

    def __init__(self, kafka: KafkaSettings, topic: str, client_id: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._client_id = client_id
        self._producer: Any = None

    def open(self) -> None:
        """Connect, and see that the topic is there. Raises KafkaUnavailable."""
        with translated(f"dead-letter topic {self._topic}"):
            if self._producer is None:
                client = client_config(self._kafka, self._client_id)
                limit = self._largest(client)
                options = client | {
                    "acks": "all",
                    "enable_idempotence": False,  # that one is unusable after a record that the broker refuses
                    "retries": 3,
                    "max_request_size": limit,
                    "batch_size": min(BATCH_BYTES, limit),  # the topic's limit is one of whole batches
                    "delivery_timeout_ms": int(DELIVERY_TIMEOUT_S * 1000),
                    "max_block_ms": 5000,
                }
                self._producer = KafkaProducer(**options)
            self._producer.partitions_for(self._topic)

    def write(self, letters: Mapping[int, Letter]) -> Written:
        """Send all, then wait for all; those refused as too large go again, reduced. Raises KafkaUnavailable."""
        durable: set[int] = set()
        refusal: str | None = None
        left = dict(letters)
        with translated(f"dead-letter topic {self._topic}"):
            while left:
                futures = {number: self._send(letter) for number, letter in left.items()}
                deadline = time.monotonic() + DELIVERY_TIMEOUT_S + 1
                smaller: dict[int, Letter] = {}
                for number, future in futures.items():
                    error = _outcome(future, deadline)
                    less = reduced(left[number]) if isinstance(error, MessageSizeTooLargeError) else None
                    if error is None:
                        durable.add(number)
                    elif less is not None:
                        smaller[number] = less
                    else:
                        refusal = refusal or f"dead-letter topic {self._topic}: {error}"
                left = smaller
        return Written(durable, refusal)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None

    def _send(self, letter: Letter) -> Any:
        """kafka-python's future, or the error at once."""
        try:
            return self._producer.send(self._topic, value=letter.value, key=letter.key, headers=letter.headers)
        except (MessageSizeTooLargeError, ValueError, TypeError) as error:  # kafka-python refuses some letters so
            return error

    def _largest(self, options: dict[str, Any]) -> int:
        """The topic's `max.message.bytes`."""
        admin = KafkaAdminClient(**options)
        try:
            asked = ConfigResource(ConfigResourceType.TOPIC, self._topic, ["max.message.bytes"])
            answer = admin.describe_configs([asked], config_filter="all").get("topic", {}).get(self._topic)
        finally:
            admin.close()
        return int(answer["max.message.bytes"]["value"]) if answer else UNKNOWN_LIMIT


def _outcome(future: Any, deadline: float) -> Exception | None:
    """Waits for a letter; None once all replicas have it."""
    try:
        if isinstance(future, Exception):
            raise future
        future.get(timeout=max(0.0, deadline - time.monotonic()))
    except (KafkaError, ValueError, TypeError) as error:
        return error
    return None
