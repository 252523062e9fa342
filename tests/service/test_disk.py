"""How much room the checkpoints have, as a gauge."""

import shutil
from math import isnan
from pathlib import Path

from prometheus_client import CollectorRegistry

from service.disk import FreeSpace
from service.lag import Lag
from service.metrics import Metrics
from service.worker_view import WorkerView
from tests.service.conftest import eventually


def test_the_room_is_told_once_there_is_a_folder_and_unknown_without(tmp_path: Path) -> None:
    view, folder, registry = WorkerView(60), tmp_path / "mounted-later", CollectorRegistry()
    metrics = Metrics(registry, view, Lag())

    def told() -> float:
        metrics.refresh()
        value = registry.get_sample_value("penstock_checkpoint_free_bytes")
        assert value is not None
        return value

    assert isnan(told())
    space = FreeSpace(folder, view, every_s=0.01)
    space.start()
    folder.mkdir()
    free = eventually(lambda: None if isnan(told()) else told())
    assert 0 < free <= shutil.disk_usage(tmp_path).total
    folder.rmdir()
    eventually(lambda: isnan(told()))
    space.stop()
