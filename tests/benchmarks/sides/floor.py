"""What no chain can be faster than: JPEGs from memory on all cores, nothing else.

The argument is the part of the size they are decoded to: 2 for half, 8 for an eighth, where little but entropy decoding
is left.
"""

import sys

from streaming.demo.synthetic import synthetic
from streaming.settings_sources import load_settings
from tests.benchmarks.decode_side import floor
from tests.benchmarks.sides.side import cores, serve
from tests.benchmarks.topics import DRAWN, SEED


def main() -> None:
    settings = load_settings()
    values = [record.value or b"" for record in synthetic(SEED, count=DRAWN)]
    serve(floor(settings, values, int(sys.argv[1])), (cores() + 1) * settings.pipeline.batch_size)


if __name__ == "__main__":
    main()
