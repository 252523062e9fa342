import sys
from pathlib import Path

import pytest

from streaming.demo.jars import KAFKA, cache_folder, kafka_jars
from streaming.errors import PenstockError


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_was_fetched_once_needs_neither_network_nor_resolver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "jgo.env", None)
    jar = tmp_path / "a.jar"
    jar.touch()
    _remember(jar)
    assert kafka_jars() == [jar]


def test_a_missing_resolver_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.env", None)
    with pytest.raises(PenstockError, match=r"pip install 'penstock\[demo\]'"):
        kafka_jars()


def test_a_jar_that_is_gone_is_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jgo.env", None)
    _remember(tmp_path / "gone.jar")
    with pytest.raises(PenstockError, match="pip install"):
        kafka_jars()


def test_without_a_network_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(PenstockError, match="HTTPS_PROXY, or name a broker of your own"):
        kafka_jars()


def _remember(jar: Path) -> None:
    folder = cache_folder() / KAFKA.replace(":", "-")
    folder.mkdir(parents=True)
    (folder / "jars.txt").write_text(str(jar))
