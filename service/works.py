"""What slow work there is, by kind of operation, and who does it."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from service import adapting, anew, exporting, letters, offsets, rollback, verification
from service.adapting import Adapting
from service.anew import NewRun
from service.consequences import Prospects
from service.errands import Errands
from service.exporting import Exporting
from service.exports import Exports
from service.folder import ServiceFolder
from service.head import Head
from service.lag import Lag
from service.letters import Requeue
from service.offsets import Edits
from service.operations import Operations
from service.rollback import Rollback
from service.shelf import Shelf
from service.supervisor import Supervisor
from service.verification import Verification
from service.work_desk import Work
from service.worker_view import WorkerView
from streaming.checkpoints.store import CheckpointStore
from streaming.settings import Settings


class Works(NamedTuple):
    """by_kind, aside: for the `WorkDesk`. edits, new_run: those of them that also tell the consequences
    beforehand."""

    by_kind: Mapping[str, Work]
    aside: Collection[str]
    edits: Edits
    new_run: NewRun


def build_works(
    settings: Settings,
    store: CheckpointStore,
    shelf: Shelf,
    folder: ServiceFolder,
    supervisor: Supervisor,
    operations: Operations,
    prospects: Prospects,
    lag: Lag,
    view: WorkerView,
    errands: Errands,
) -> Works:
    """Nothing runs yet."""
    head = Head(store, folder, supervisor, operations)
    edits = Edits(store, head, folder.decisions, prospects, lag)
    exports = Exports(settings.export_directory)
    back = Rollback(store, shelf, head, supervisor, operations, folder, prospects, lag, view)
    new_run = NewRun(settings.kafka.start, store, folder, supervisor, operations)
    works: dict[str, Work] = {
        verification.KIND: Verification(shelf),
        rollback.KIND: back,
        adapting.KIND: Adapting(settings, store, shelf, folder, head, back, errands),
        letters.KIND: Requeue(store, head, folder.decisions, lag),
        offsets.KIND: edits,
        anew.KIND: new_run,
        exporting.KIND: Exporting(settings, store, shelf, folder, operations, errands, exports),
    }
    return Works(works, [exporting.KIND], edits, new_run)
