"""Takes a person's answer to a problem: a durable decision first, then the worker hears of it, or is started again."""

import asyncio
import time

import structlog

from service.answers import decision_on
from service.supervisor import Supervisor
from service.worker_view import WorkerView
from streaming.control.messages import Problem

_log = structlog.get_logger()


class ProblemGone(Exception):
    """There is no such problem now."""


class Resolver:
    """One answer at a time."""

    def __init__(self, view: WorkerView, supervisor: Supervisor) -> None:
        self._view = view
        self._supervisor = supervisor
        self._answering = asyncio.Lock()

    async def resolve(self, identifier: str, answer: str) -> Problem:
        """The problem that was answered. Raises ProblemGone, CheckpointError, and what `decision_on` raises."""
        async with self._answering:
            problem = next((each for each in self._view.problems if each.type == identifier), None)
            if problem is None:
                raise ProblemGone
            decision = decision_on(problem, answer, time.time())
            await self._supervisor.decide(decision)
            _log.info("problem_resolved", problem=identifier, answer=answer)
            failure = self._view.failure  # maybe found again meanwhile, by a worker that has not heard of the answer
            if failure is not None and (failure.type, failure.facts) == (problem.type, problem.facts):
                self._supervisor.start_again()
            return problem
