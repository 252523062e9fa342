"""A checkpoint directory into which someone else has put things, each with hashes that fit."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from streaming.checkpoints.manifest import MANIFEST_FILE
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import SidecarFactory

Tree = dict[str, Any]


def sealed(tree: Tree) -> str:
    """As a manifest seals itself."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return json.dumps(tree | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()})


def forged(checkpoint: Path, change: Callable[[Tree], object]) -> None:
    tree = json.loads((checkpoint / MANIFEST_FILE).read_text())
    del tree["sha256"]
    change(tree)
    (checkpoint / MANIFEST_FILE).write_text(sealed(tree))


def entry(content: bytes) -> Tree:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def in_place_of(name: str, content: bytes) -> Callable[[Path], None]:
    def put(checkpoint: Path) -> None:
        (checkpoint / name).unlink()
        (checkpoint / name).write_bytes(content)
        forged(checkpoint, lambda tree: tree["files"].update({name: entry(content)}))

    return put


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {TRACE}",)


TRACE = f"/tmp/penstock-pickle-{os.getpid()}"
SECRET = "root:x:0:0"
FORGERIES: dict[str, Callable[[Path], object]] = {
    "deep JSON": lambda path: (path / MANIFEST_FILE).write_text("[" * 100_000),
    "deep JSON inside": lambda path: (path / MANIFEST_FILE).write_text('{"sha256": "0", "x": ' + "[" * 99_999),
    "far future": lambda path: forged(path, lambda tree: tree.update(created_at=1e300)),
    "far past": lambda path: forged(path, lambda tree: tree.update(created_at=-1e300)),
    "endless step": lambda path: forged(path, lambda tree: tree.update(step=10**4000)),
    "endless size": lambda path: forged(path, lambda tree: tree["files"][MODEL_FILE].update(size=10**4000)),
    "file elsewhere": lambda path: forged(path, lambda tree: tree["files"].update({"../../etc/passwd": entry(b"")})),
    "file at root": lambda path: forged(path, lambda tree: tree["files"].update({"/etc/passwd": entry(b"")})),
    "history elsewhere": lambda path: forged(
        path, lambda tree: tree.update(history=[entry(b"") | {"file": "history/../../../etc/passwd"}])
    ),
    "evaluation elsewhere": lambda path: forged(
        path, lambda tree: tree.update(evaluation={"set": 1, "file": "../../../../etc/passwd", "sha256": "0" * 64})
    ),
    "parent elsewhere": lambda path: forged(path, lambda tree: tree.update(parent="../../etc")),
    "negative positions": lambda path: forged(path, lambda tree: tree.update(positions={"-1": -5})),
    "markup": lambda path: forged(path, lambda tree: tree["generation"].update(topic="<script>alert(1)</script>")),
    "pickled model": in_place_of(MODEL_FILE, pickle.dumps(Evil())),
    "pickled ledger": in_place_of(LEDGER_FILE, pickle.dumps(Evil())),
    "ledger of a huge header": in_place_of(LEDGER_FILE, (1 << 60).to_bytes(8, "little") + b"{}"),
    "ledger of a deep header": in_place_of(LEDGER_FILE, (100_000).to_bytes(8, "little") + b"[" * 100_000),
    "model that is a link": lambda path: ((path / MODEL_FILE).unlink(), (path / MODEL_FILE).symlink_to("/etc/passwd")),
    "deep label": lambda path: path.with_suffix(".json").write_text("[" * 100_000),
    "checkpoint that is a link": lambda path: (path.rename(path.parent / "aside"), path.symlink_to("/etc")),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_checkpoint_is_shown_as_what_it_is_and_runs_nothing(
    sidecar: SidecarFactory, tmp_path: Path, forgery: str
) -> None:
    older, newer = write(tmp_path / "run", ledger_with(trained=range(10)), ledger_with(trained=range(20)))
    FORGERIES[forgery](tmp_path / "run" / newer)
    one = sidecar("well")
    one.reach("training")
    http = one.http
    answers = [
        http.get("/v1/checkpoints"),
        http.get(f"/v1/checkpoints/{newer}"),
        http.get(f"/v1/checkpoints/{newer}/records"),
        http.get(f"/v1/checkpoints/{older}/diff", params={"to": newer}),
        http.get("/v1/dead-letters"),
        http.get("/v1/offsets"),
        http.get("/v1/status"),
        http.get("/metrics"),
        http.post(f"/v1/checkpoints/{newer}/restore", json={"dry_run": True}),
        http.patch(f"/v1/checkpoints/{older}", json={"label": "still there"}),
    ]
    codes = [answer.status_code for answer in answers]
    # 503: the newest ledger can't be read, which is told as such
    assert all(code < 500 or code == 503 for code in codes), (codes, [answer.text[:300] for answer in answers])
    assert codes[0] == codes[6] == codes[7] == codes[9] == 200
    assert not any(SECRET in answer.text for answer in answers)
    verified = http.post(f"/v1/checkpoints/{newer}/verify")
    assert verified.status_code == HTTPStatus.ACCEPTED
    assert SECRET not in json.dumps(one.operation(verified))
    assert {each["id"] for each in answers[0].json()["checkpoints"]} >= {older, newer}
    assert one.status()["state"] == "training"
    assert not Path(TRACE).exists()
