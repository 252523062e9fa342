"""A Docker engine of the tests' own: its socket, its data, an image built in it, containers that end with the test."""

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from streaming.demo.ports import free_port
from tests.docs import ROOT
from tests.line.line import nap

CACHE = Path.home() / ".cache" / "penstock" / "engine"
NEEDED = {"docker": "docker.io", "dockerd": "docker.io", "debootstrap": "debootstrap"}
BASE = "penstock-base:test"
IMAGE = "penstock:cpu"
READY_S = 60.0
TLS = "/etc/ssl/certs/ca-certificates.crt"
CONFINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp:size=1g")


def missing() -> str | None:
    """What the machine lacks, as Debian's packages; None: nothing."""
    if os.geteuid() != 0:
        return "the engine needs root"
    lacking = sorted({package for command, package in NEEDED.items() if shutil.which(command) is None})
    return f"apt-get install {' '.join(lacking)}" if lacking else None


class Engine:
    """dockerd with everything of it below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = f"unix://{folder}/sock"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = ["dockerd", "--host", self.socket, "--data-root", f"{self._folder}/data"]
        command += ["--exec-root", f"{self._folder}/exec", "--pidfile", f"{self._folder}/pid", "--bridge", "none"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while subprocess.run(["docker", "-H", self.socket, "info"], capture_output=True).returncode:
            assert time.monotonic() < deadline, (self._folder / "log").read_text()[-3000:]
            nap()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)
        for mounted in _mounted_below(self._folder):  # dockerd leaves a namespace behind, which nobody can remove
            subprocess.run(["umount", mounted], check=True)
        for name in ("data", "exec"):  # gigabytes, of which pytest would keep three
            shutil.rmtree(self._folder / name)

    def __call__(self, *words: str, timeout_s: float = 600) -> str:
        """A docker command; what it printed."""
        command = ["docker", "-H", self.socket, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def build(self) -> None:
        """The image, on a base that debootstrap makes once: nothing can be pulled here."""
        if not self("images", "-q", BASE):
            self("import", "--change", f"ENV SSL_CERT_FILE={TLS}", str(base()), BASE)
        arguments = ["--build-arg", f"BASE_IMAGE={BASE}", "-f", f"{ROOT}/docker/Dockerfile"]
        self("build", "--network", "host", "--target", "cpu", *arguments, "-t", IMAGE, str(ROOT), timeout_s=1200)


def _mounted_below(folder: Path) -> list[str]:
    """The deepest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True)


def base() -> Path:
    """Debian with its Python, as a tarball; trusts the certificates that this machine trusts."""
    found = CACHE / "base.tar"
    if found.exists():
        return found
    root = CACHE / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    packages = "--include=python3,python3-venv,ca-certificates"
    done = subprocess.run(["debootstrap", "--variant=minbase", packages, "bookworm", str(root)], capture_output=True)
    assert done.returncode == 0, done.stdout[-3000:]
    shutil.copy(TLS, f"{root}{TLS}")
    shutil.rmtree(root / "var/cache/apt")
    shutil.rmtree(root / "var/lib/apt/lists")
    with tarfile.open(CACHE / "unfinished.tar", "w") as archive:
        archive.add(root, ".")
    shutil.rmtree(root)
    return (CACHE / "unfinished.tar").rename(found)


class Container:
    """The image as it is meant to run: confined, on a volume, its settings as variables."""

    def __init__(self, engine: Engine, name: str, settings: Mapping[str, object]) -> None:
        self._engine = engine
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        tree = {"service.port": self.port, **settings}
        variables = [f"PENSTOCK_{key.upper().replace('.', '__')}={value}" for key, value in tree.items()]
        self._options = ["--network", "host", *CONFINED, "-v", f"{name}:/data"]
        self._options += [word for variable in variables for word in ("-e", variable)]

    def __enter__(self) -> Self:
        self._engine("run", "-d", "--name", self.name, *self._options, IMAGE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine("rm", "-f", self.name)

    def again(self) -> None:
        """docker start."""
        self._engine("start", self.name)

    def stop(self) -> int:
        """docker stop, with its default of ten seconds; the exit code."""
        self._engine("stop", self.name)
        return int(self.inspect("{{.State.ExitCode}}"))

    def kill(self) -> None:
        self._engine("kill", self.name)

    def inspect(self, template: str) -> str:
        return self._engine("inspect", "-f", template, self.name)

    def beside(self, *command: str, entrypoint: str = "python3") -> str:
        """A second container with the same volume and settings runs it; what it printed."""
        return self._engine("run", "--rm", "--entrypoint", entrypoint, *self._options, IMAGE, *command)

    def log(self) -> str:
        return subprocess.run(
            ["docker", "-H", self._engine.socket, "logs", self.name], capture_output=True, text=True, timeout=60
        ).stdout

    def status(self) -> Any:
        return status_of(self.url)

    def until(self, holds: Callable[[Any], object], deadline_s: float = 180) -> Any:
        """The first status for which `holds`."""
        return first_status(self.url, holds, deadline_s, self.log)


def status_of(url: str) -> Any:
    return httpx.get(f"{url}/v1/status", timeout=10).raise_for_status().json()


def first_status(url: str, holds: Callable[[Any], object], deadline_s: float, log: Callable[[], str]) -> Any:
    """The first one for which `holds`; who doesn't answer may be starting. log: told when it never comes true."""
    last = None

    def look() -> Any:
        nonlocal last
        last = status_of(url)
        return last if holds(last) else None

    return eventually(look, deadline_s, lambda: f"last: {json.dumps(last)}\n{log()[-3000:]}")


def eventually(look: Callable[[], Any], deadline_s: float, complaint: Callable[[], str]) -> Any:
    """The first true value that `look` gives; whom it asks may be starting. complaint: told when it never gives one."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if found := look():
                return found
        nap(0.2)
    raise AssertionError(f"never came true\n{complaint()}")


def positions(status: Any) -> dict[int, int]:
    return {each["partition"]: each["checkpointed"] for each in status["partitions"]}


def samples(text: str, wanted: Sequence[str]) -> dict[str, float]:
    """Values of an exposition without labels, by name."""
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {words[0]: float(words[1]) for words in lines if words[0] in wanted}
