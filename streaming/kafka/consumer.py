"""Opens kafka-python's consumers for reading single records again, whatever bytes their headers' names hold.

Kafka takes any bytes as a header's name, kafka-python 3.0.12 only UTF-8: another name hid all that its batch holds
from there on, and the next `poll` never returned. Here a byte that is no UTF-8 becomes an escape, `\\xff`.
"""

from typing import Any

from kafka import KafkaConsumer
from kafka.record.default_records import DefaultRecordBatch

from streaming.kafka.broker import client_config
from streaming.settings import KafkaSettings


def open_consumer(kafka: KafkaSettings, client_id: str, *, codecs: set[int] | None = None, **options: Any) -> Any:
    """A KafkaConsumer without a group, whose position never jumps, read_committed unless the options say otherwise.

    codecs: gets the number of each codec that a batch of records comes with.
    After a CorruptRecordError, which now means that the broker's batch is damaged, it must be closed: another `poll`
    would never return.
    """
    chosen = {"auto_offset_reset": "none", "isolation_level": "read_committed", **options}
    consumer = KafkaConsumer(**client_config(kafka, client_id), group_id=None, enable_auto_commit=False, **chosen)
    fetcher = consumer._fetcher
    partition_records = fetcher.PartitionRecords

    def with_any_names(offset: int, tp: Any, answer: Any, **others: Any) -> Any:
        return partition_records(offset, tp, _Answer(answer, codecs), **others)

    fetcher.PartitionRecords = with_any_names
    return consumer


class _Answer:
    """A partition's part of a fetch: its batches in order."""

    def __init__(self, answer: Any, codecs: set[int] | None) -> None:
        self._answer = answer
        self._codecs = codecs

    def next_batch(self) -> Any:
        batch = self._answer.next_batch()
        if self._codecs is not None and isinstance(batch, DefaultRecordBatch) and not batch.is_control_batch:
            self._codecs.add(batch.compression_type)
        return _Batch(batch._buffer) if isinstance(batch, DefaultRecordBatch) else batch


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    _buffer: bytearray

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:  # it stands at the record's beginning still
            self._buffer = _Lenient(self._buffer)
            return super()._read_msg()


class _Lenient(bytearray):
    """Bytes each part of which can be decoded."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return _Lenient(part) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
