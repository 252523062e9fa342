"""Imports point down, and every fence holds. Read from the source of the tree; nothing is imported."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("streaming", "service")
TENSORFLOW = ("tensorflow", "tensorflow_io", "keras")
FREE_OF_TENSORFLOW = (
    "service/",
    *(f"streaming/{name}.py" for name in ("settings", "settings_sources", "errors", "arrays", "metrics")),
    *(f"streaming/{name}.py" for name in ("round", "book", "logs", "decided", "errand", "settings_tree", "new_run")),
    *(f"streaming/{name}.py" for name in ("showing", "palette")),
    *(f"streaming/{name}/" for name in ("ledger", "checkpoints", "control", "demo")),
    *(f"streaming/kafka/{name}.py" for name in ("dead_letters", "letter", "letter_writer", "originals", "librdkafka")),
    *(f"streaming/kafka/{name}.py" for name in ("broker", "watch", "tails", "mirror", "held_back")),
    *(f"streaming/kafka/{name}.py" for name in ("retention", "headroom", "consumer", "inspection")),
    *(f"streaming/kafka/{name}.py" for name in ("contact", "wire", "login", "tls", "readers")),
    "streaming/kafka_clients.py",
    *(f"streaming/doctor/{name}.py" for name in ("cli", "child", "kafka_checks", "disk", "finding")),
    *(f"streaming/records/{name}.py" for name in ("png", "jpeg", "decode", "augment", "breaker", "example")),
    *(f"streaming/records/{name}.py" for name in ("sample", "batch", "original", "reasons")),
    "streaming/training/evaluation.py",
)
SERVICE_MAY_USE = (
    *("settings", "settings_sources", "settings_tree", "new_run", "errors", "logs", "ledger", "control"),
    *("checkpoints", "decided", "flags", "native_lines"),
    *(f"kafka.{name}" for name in ("broker", "watch", "headroom", "retention", "contact")),
)


class Import(NamedTuple):
    """One import statement. at_once: it runs when the file is imported, not inside a function or for types alone."""

    file: str
    module: str
    at_once: bool


def imports_of(path: Path) -> Iterator[Import]:
    file = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text())
    later = {id(node) for outer in ast.walk(tree) if _runs_later(outer) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            assert node.module is not None
            # `from package import name` may import a module, too
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (Import(file, module, id(node) not in later) for module in modules)


def _runs_later(node: ast.AST) -> bool:
    for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
IMPORTS = [found for path in FILES for found in imports_of(path)]


def importers(*libraries: str) -> set[str]:
    """The files that import one of these libraries, anywhere."""
    return {found.file for found in IMPORTS if found.module.split(".")[0] in libraries}


def file_of(module: str) -> str | None:
    """The file of one of our modules; None for a foreign one, or a name inside a module."""
    base = module.replace(".", "/")
    return next((file for file in (f"{base}.py", f"{base}/__init__.py") if (ROOT / file).is_file()), None)


def loaded_by(file: str) -> dict[str, str]:
    """Every library that importing a file loads -> the file of ours that does it."""
    libraries: dict[str, str] = {}
    seen, waiting = {file}, [file]
    while waiting:
        current = waiting.pop()
        for found in IMPORTS:
            if found.file != current or not found.at_once:
                continue
            ours = file_of(found.module)
            if ours is None:
                libraries.setdefault(found.module.split(".")[0], current)
            elif ours not in seen:
                seen.add(ours)
                waiting.append(ours)
    return libraries


def test_the_tree_is_there() -> None:
    assert len(FILES) > 60
    assert file_of("streaming.ledger.ledger") == "streaming/ledger/ledger.py"
    assert "streaming/worker.py" in importers("structlog")
    assert loaded_by("streaming/worker.py")["tensorflow"].startswith("streaming/")
    assert "tensorflow" not in loaded_by("streaming/start.py")


def test_one_file_knows_tensorflow_io() -> None:
    assert importers("tensorflow_io") == {"streaming/kafka/tfio_reader.py"}


def test_one_file_knows_confluent_kafka() -> None:
    assert importers("confluent_kafka") == {"streaming/kafka/confluent_reader.py"}


def test_the_readers_are_loaded_when_they_are_chosen() -> None:
    assert not loaded_by("streaming/assembly.py").keys() & {"tensorflow_io", "confluent_kafka"}


def test_one_folder_knows_kafka_python_beside_the_demo() -> None:
    outside = {file for file in importers("kafka") if not file.startswith(("streaming/kafka/", "streaming/demo/"))}
    assert outside == set()


def test_only_the_service_speaks_http() -> None:
    served = importers("fastapi", "uvicorn", "starlette")
    assert served
    assert {file for file in served if not file.startswith("service/")} == set()


@pytest.mark.parametrize("place", FREE_OF_TENSORFLOW)
def test_no_tensorflow_where_it_is_not_wanted(place: str) -> None:
    direct = {file for file in importers(*TENSORFLOW) if file.startswith(place)}
    assert direct == set()
    for path in FILES:
        file = path.relative_to(ROOT).as_posix()
        if file.startswith(place):
            loaded = loaded_by(file)
            assert not loaded.keys() & set(TENSORFLOW), f"{file} loads TensorFlow through {loaded}"


def test_nothing_that_runs_what_it_reads() -> None:
    """Checkpoints may come from anywhere: no pickle, no model that is code, no arrays of objects."""
    assert importers("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "h5py") == set()
    words = ("load_model", "allow_pickle", "eval(", "exec(", "unsafe_deserialization", "os.system", "shell=True")
    said = {
        (path.name, word)
        for path in FILES
        if (code := _code(path))
        for word in words
        if re.search(rf"\b{re.escape(word)}", code)
    }
    assert said == set()


def _code(path: Path) -> str:
    """Without comments and docstrings."""
    return ast.unparse(_Bare().visit(ast.parse(path.read_text())))


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | ast.Pass:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node


def test_streaming_never_imports_the_service() -> None:
    assert {file for file in importers("service") if file.startswith("streaming/")} == set()


def test_the_service_takes_only_pure_modules_and_the_broker() -> None:
    allowed = tuple(f"streaming.{name}" for name in SERVICE_MAY_USE)
    foreign = {
        (found.file, found.module)
        for found in IMPORTS
        if found.file.startswith("service/")
        and found.module.startswith("streaming.")
        and not any(found.module == name or found.module.startswith(f"{name}.") for name in allowed)
    }
    assert foreign == set()


@pytest.mark.parametrize("package", ["ledger", "control"])
def test_the_pure_core_does_no_io(package: str) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in FILES if f"streaming/{package}/" in path.as_posix()}
    pure = files - {"streaming/control/channel.py"}
    effects = importers("socket", "os", "subprocess", "threading", "kafka", "pathlib", "time", "structlog")
    assert pure & effects == set()


def test_our_packages_import_no_tests() -> None:
    assert importers("tests", "pytest", "hypothesis") == set()
