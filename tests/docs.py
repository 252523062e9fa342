"""`python -m tests.docs`: write the README's generated blocks and the contract anew; `test_docs.py` compares.

A block stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from prometheus_client import ProcessCollector
from pydantic import BaseModel, SecretStr

from service.app import create_app
from service.composition import Service
from streaming.settings import Settings
from streaming.settings_tree import APPLIES

ROOT = Path(__file__).parent.parent
README, RUNBOOK = ROOT / "README.md", ROOT / "ops" / "runbook.md"
CONTRACT = ROOT / "service" / "openapi.json"
USER_CODE = ROOT / "tests" / "line" / "user_code.py"
PACKAGES = (ROOT / "streaming", ROOT / "service")


def main() -> None:
    README.write_text(with_blocks(README.read_text(), blocks()))
    for package in PACKAGES:
        page = package / "README.md"
        page.write_text(with_blocks(page.read_text(), {"map": package_map(package)}))
    CONTRACT.write_text(contract())


def contract() -> str:
    """The OpenAPI document."""
    return json.dumps(create_app(_service().parts).openapi(), indent=1) + "\n"


def blocks() -> dict[str, str]:
    """Name -> Markdown."""
    service = _service()
    return {
        "settings": settings_table(),
        "routes": routes_table(service),
        "metrics": metrics_table(service),
        "user-code": f"```python\n{USER_CODE.read_text().rstrip()}\n```",
    }


def with_blocks(text: str, generated: dict[str, str]) -> str:
    """The text with its blocks replaced. Raises ValueError when one isn't there."""
    for name, block in generated.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        head, found, rest = text.partition(start)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"no block {name}")
        text = f"{head}{start}{block}\n{end}{tail}"
    return text


def modules(package: Path) -> list[Path]:
    """Those that hold something."""
    return [file for file in sorted(package.rglob("*.py")) if file.stat().st_size]


def package_map(package: Path) -> str:
    """A line a module: the first of its docstring."""
    lines = []
    for file in modules(package):
        text = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]
        lines.append(f"- `{file.relative_to(package)}`: {_escaped(text)}")
    return "\n".join(lines)


def settings_table() -> str:
    return _table(("setting", "default", "values", "applies", "meaning"), list(_settings_rows(Settings(), ())))


def routes_table(service: Service) -> str:
    """Every route of the application; the first line of its docstring."""
    rows = [
        (
            "GET `/`",
            "The page: state, charts, the way of the data, newest pictures, checkpoints, problems, events.",
        ),
        ("GET `/docs`", "This API, to click through; `/openapi.json` is the contract itself."),
    ]
    for path, methods in create_app(service.parts).openapi()["paths"].items():
        for method, route in methods.items():
            text = route.get("description", route["summary"]).splitlines()[0]
            rows.append((f"{method.upper()} `{path}`", text))
    return _table(("route", "what"), rows)


def metrics_table(service: Service) -> str:
    """Every family of the registry; the two sets of process metrics are a row each."""
    create_app(service.parts)  # the HTTP metrics register themselves there
    rows = []
    for collector in _collectors(service):
        if not isinstance(collector, ProcessCollector):
            family = next(iter(collector.collect()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in collector._labelnames)
            rows.append((f"`{name}`", family.type, labels, family.documentation))
    rows.append(("`process_*`", "gauge, counter", "", "Memory, CPU, start, descriptors of the sidecar."))
    rows.append(("`penstock_worker_process_*`", "gauge, counter", "", "The same of the worker."))
    return _table(("metric", "type", "labels", "what"), rows)


@cache
def metric_labels() -> dict[str, set[str]]:
    """Every sample's name -> its labels, as the registry of a service that never ran has them."""
    service = _service()
    create_app(service.parts)
    found: dict[str, set[str]] = {}
    for collector in _collectors(service):
        for family in collector.collect():
            names = {sample.name for sample in family.samples} | _sample_names(family.name, family.type)
            labels = set(getattr(collector, "_labelnames", ()))
            found |= {name: labels | ({"le"} if name.endswith("_bucket") else set()) for name in names}
    return found


def _sample_names(family: str, kind: str) -> set[str]:
    """Also of those that have no sample yet."""
    match kind:
        case "counter":
            return {f"{family}_total"}
        case "histogram":
            return {f"{family}_{suffix}" for suffix in ("bucket", "sum", "count")}
        case _:
            return {family}


def problem_types() -> set[str]:
    """Every type that can stand in `problems` of /v1/status, by what the code says."""
    return {slug for package in PACKAGES for file in package.rglob("*.py") for slug in _problem_types_in(file)}


def http_problem_types() -> set[str]:
    """Every `urn:penstock:problem:` that an answer or an operation can carry beside those."""
    found = set()
    for file in (ROOT / "service").rglob("*.py"):
        for call in _calls(file):
            if _name(call) in ("HttpProblem", "details") and len(call.args) > 1:
                found |= _texts(call.args[1])
    return found


def _service() -> Service:
    """Built and never run: no disk, no Kafka, no worker."""

    def never(*_: object) -> Any:
        raise AssertionError("not run")

    return Service(Settings(), (), None, never, never, never, 0)


def _settings_rows(node: BaseModel, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in type(node).model_fields.items():
        value = getattr(node, name)
        if isinstance(value, BaseModel):
            yield from _settings_rows(value, (*path, name))
            continue
        applies = APPLIES[".".join((*path, name))]
        yield f"`{'.'.join((*path, name))}`", _default(value), _values(field), applies, str(field.description)


def _default(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _values(field: Any) -> str:
    """Type and limits in a few words."""
    kinds = [kind for kind in _flat(field.annotation) if kind is not type(None)]
    if get_origin(kinds[0]) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kinds[0]))
    names = {bool: "true, false", int: "whole number", float: "number", Path: "path", SecretStr: "secret"}
    marks = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{mark} {getattr(limit, word)}"
        for limit in field.metadata
        for word, mark in marks.items()
        if getattr(limit, word, None) is not None
    ]
    return ", ".join([names.get(kinds[0], "text"), *limits])


def _flat(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if isinstance(annotation, UnionType) else [annotation]


def _collectors(service: Service) -> list[Any]:
    return list(dict.fromkeys(service.parts.metrics.registry._collector_to_names))


def _problem_types_in(file: Path) -> Iterator[str]:
    for call in _calls(file):
        if _name(call) == "TrainingStopped":
            yield from _texts(call.args[0])
        if _name(call) == "Problem":
            yield from (text for word in call.keywords if word.arg == "type" for text in _texts(word.value))
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name in ("problem_of", "_problems"):
            for table in (each for each in ast.walk(node) if isinstance(each, ast.Dict)):
                for entry in (*table.keys, *table.values):
                    yield from (text for text in _texts(entry) if re.fullmatch(r"[a-z]+(-[a-z]+)+", text))


def _calls(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _texts(node: ast.AST | None) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(_escaped(text) for text in row) + " |" for row in cells)


def _escaped(text: str) -> str:
    """For a cell: no bar that ends it, no tag that is swallowed."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
