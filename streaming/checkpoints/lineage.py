"""Which checkpoint is restored: the newest, and from a damaged one the way along the parents. Pure."""

from collections.abc import Callable, Sequence

from streaming.checkpoints.manifest import Manifest
from streaming.errors import CheckpointDamaged


def newest(
    newest_first: Sequence[str], check: Callable[[str], Manifest], manifest: Callable[[str], Manifest]
) -> tuple[Manifest | None, list[str]]:
    """The newest checkpoint that passes `check`, and the damaged ones that were passed over for it.

    From a damaged one the way leads to its parent, so that a rollback isn't undone; to the next older one where the
    parent is gone or unknown. None if no checkpoint on the way is whole. check, manifest: id -> manifest, raise
    CheckpointDamaged; what else they raise ends the search.
    """
    passed_over: list[str] = []
    candidate = newest_first[0] if newest_first else None
    while candidate is not None:
        try:
            return check(candidate), passed_over
        except CheckpointDamaged:
            passed_over.append(candidate)
            candidate = _before(candidate, newest_first, manifest)
    return None, passed_over


def _before(id: str, newest_first: Sequence[str], manifest: Callable[[str], Manifest]) -> str | None:
    try:
        parent = manifest(id).parent
    except CheckpointDamaged:
        parent = None
    if parent is not None and parent < id and parent in newest_first:
        return parent
    return next((older for older in newest_first if older < id), None)
