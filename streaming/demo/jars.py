"""The jars of Apache Kafka, from Maven Central, once, into the user's cache folder."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streaming.errors import PenstockError

KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
_LOGGER = "org.slf4j:slf4j-simple:1.7.36"  # Kafka's own dependencies hold no logger: it would die silently
_ABOUT_BYTES = 43_500_000

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how much of it is done (0 to 1, None: not known)."""


def silent(text: str, fraction: float | None) -> None:
    """The progress callback that tells nobody."""


def kafka_jars(progress: Progress = silent) -> list[Path]:
    """The class path of a Kafka broker. The first call fetches 43 MB, later ones read a list.

    Raises PenstockError when `jgo` isn't installed or Maven Central can't be reached.
    """
    folder = cache_folder() / KAFKA.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    complete = folder / "jars.txt"
    with _lock(folder / "lock"):
        if complete.exists():
            jars = [Path(line) for line in complete.read_text().splitlines()]
            if all(jar.exists() for jar in jars):
                return jars
        jars = _fetch(folder, progress)
        partial = complete.with_suffix(".partial")
        partial.write_text("\n".join(map(str, jars)))
        partial.rename(complete)
    return jars


def cache_folder() -> Path:
    """The user's cache folder for penstock, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock"


def _fetch(folder: Path, progress: Progress) -> list[Path]:
    try:
        from jgo.env import EnvironmentBuilder, LinkStrategy
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise PenstockError("the embedded Kafka needs the demo extra: pip install 'penstock[demo]'") from error
    # A jar cut short by an earlier interruption would be taken for whole, so without our list nothing is.
    for leftover in (folder / "repository", folder / "environments"):
        shutil.rmtree(leftover, ignore_errors=True)
    progress("asking Maven Central for Apache Kafka", 0.0)
    resolver = PythonResolver(progress_callback=_Download(progress).jar)
    context = MavenContext(resolver=resolver, repo_cache=folder / "repository")
    builder = EnvironmentBuilder(context, cache_dir=folder / "environments", link_strategy=LinkStrategy.AUTO)
    try:
        environment = builder.from_endpoint(f"{KAFKA}+{_LOGGER}")
    except (OSError, RuntimeError, ValueError) as error:  # requests' errors are OSErrors
        raise PenstockError(
            f"can't fetch {KAFKA} from Maven Central ({error}); check the network and HTTPS_PROXY, "
            "or name a broker of your own with --bootstrap-servers or PENSTOCK_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    return sorted(environment.path.glob("*/*.jar"))


class _Download:
    """Adds up what has been fetched."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bytes = 0

    @contextmanager
    def jar(self, filename: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        def add(count: int) -> None:
            self._bytes += count
            self._progress(f"fetching {filename}", min(self._bytes / _ABOUT_BYTES, 1.0))

        yield add


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
