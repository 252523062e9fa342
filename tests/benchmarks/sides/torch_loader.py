"""confluent-kafka and torch's DataLoader, a process a core. The argument names the decoder: cv2 or simplejpeg."""

import random
import sys
from collections.abc import Iterator

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from streaming.arrays import Array
from streaming.settings import Settings
from streaming.settings_sources import load_settings
from tests.benchmarks.sides.consuming import shuffled, values
from tests.benchmarks.sides.decoding import DECODERS, Decode
from tests.benchmarks.sides.side import cores, serve
from tests.benchmarks.topics import lengths

PREFETCH = 2  # batches a worker process: the loader's default


class Records(IterableDataset):
    """Each worker process reads partitions of its own, through its part of the shuffle buffer."""

    def __init__(self, settings: Settings, partitions: list[int], decode: Decode) -> None:
        self._settings = settings
        self._partitions = partitions
        self._decode = decode

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        worker = get_worker_info()
        rng = random.Random(worker.seed)
        mine = values(self._settings.kafka, self._partitions[worker.id :: worker.num_workers])
        size = self._settings.pipeline.image_size
        for value in shuffled(mine, self._settings.pipeline.shuffle_buffer // worker.num_workers, rng):
            image, mask = self._decode(value, size)
            if rng.random() < 0.5:
                image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
            yield image, mask


def main() -> None:
    settings = load_settings()
    pipeline = settings.pipeline
    records = Records(settings, list(lengths(settings.kafka)), DECODERS[sys.argv[1]])
    loader = DataLoader(records, batch_size=pipeline.batch_size, num_workers=cores(), prefetch_factor=PREFETCH)
    read_ahead = pipeline.shuffle_buffer + (PREFETCH + 1) * cores() * pipeline.batch_size
    serve((len(images) for images, _ in loader), read_ahead)


if __name__ == "__main__":
    main()
