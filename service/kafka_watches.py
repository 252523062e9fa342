"""What the sidecar itself asks Kafka. kafka-python takes 0.3 s to import: not before /livez answers."""

from collections.abc import Mapping

from service.lag import Watermarks
from service.retention import Headrooms
from streaming.settings import Settings


def watermarks(settings: Settings) -> Watermarks:
    from streaming.kafka.watch import Watch

    watch = Watch(settings.kafka, f"penstock.{settings.name}.sidecar")
    watch.start()
    return watch


def headrooms(settings: Settings) -> Headrooms:
    from streaming.kafka.retention import RetentionWatch

    watch = RetentionWatch(settings.kafka, f"penstock.{settings.name}.retention")
    watch.start()
    return watch


def frozen_ends(settings: Settings, until: str) -> Mapping[int, int]:
    from streaming.kafka.broker import frozen_ends as ends

    return ends(settings.kafka, f"penstock.{settings.name}.sidecar", until)
