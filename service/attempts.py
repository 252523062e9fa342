"""How often an operation was begun: one that ends the service each time must not go on for ever."""

from http import HTTPStatus

from service.operation import Operation
from service.operations import Operations
from service.problem_details import details
from service.work_desk import Refused

MOST_ATTEMPTS = 3


async def count_attempt(operations: Operations, operation: Operation) -> None:
    """Durable when this returns. Raises Refused once there were too many, CheckpointError."""
    progress = operations.progress(operation)
    if progress.attempts >= MOST_ATTEMPTS:
        text = f"it was begun {progress.attempts} times, and each time the service ended before it did"
        raise Refused(details(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", text))
    await operations.note(operation, progress.model_copy(update={"attempts": progress.attempts + 1}))
