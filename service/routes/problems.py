"""/v1/problems: what needs a person, and the person's answer."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from service.answers import FactsMissing, NoAnswer, UnknownAnswer, answers_to
from service.auth import Guard
from service.problems import HttpProblem, documented
from service.remedies import remedies_for
from service.resolver import ProblemGone, Resolver
from service.routes.status import ProblemBody, problem_body
from service.worker_view import WorkerView
from streaming.control.messages import WorkerState


class ProblemsBody(BaseModel):
    problems: list[ProblemBody]


class AnswerRequest(BaseModel):
    """One of the problem's `answers`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: str = Field(description="accept, adopt, retrain or continue, as the problem offers.", examples=["accept"])


class ResolvedBody(BaseModel):
    """The decision is durable. state follows when the worker has heard of it, or a new one has started."""

    id: str
    answer: str
    state: WorkerState


def router(view: WorkerView, resolver: Resolver, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/problems", tags=["problems"])

    @routes.get("")
    async def problems() -> ProblemsBody:
        """What needs a person, the gravest first, with its remedies."""
        return ProblemsBody(problems=[problem_body(problem) for problem in view.problems])

    @routes.post(
        "/{id}/resolve",
        dependencies=[Depends(guard)],
        responses=documented(400, 401, 403, 404, 409, 422, 503),
    )
    async def resolve(identifier: Annotated[str, Path(alias="id")], body: AnswerRequest) -> ResolvedBody:
        """Answer a problem: a decision that no rollback takes back; a failed service starts again with it."""
        try:
            await resolver.resolve(identifier, body.answer)
        except ProblemGone as error:
            text = f"no problem {identifier} now; GET /v1/problems lists them"
            raise HttpProblem(HTTPStatus.NOT_FOUND, "problem-not-found", text) from error
        except NoAnswer as error:
            text = "; ".join(remedies_for(identifier)) or "its detail says what is wrong"
            raise HttpProblem(HTTPStatus.CONFLICT, "not-resolvable", f"an answer doesn't mend this: {text}") from error
        except UnknownAnswer as error:
            valid = ", ".join(answer.name for answer in answers_to(identifier))
            text = f"{body.answer!r} is no answer to {identifier}; valid: {valid}"
            raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-answer", text) from error
        except FactsMissing as error:
            text = f"the worker hasn't told yet what {identifier} is about; ask again in a moment"
            raise HttpProblem(HTTPStatus.CONFLICT, "not-now", text) from error
        return ResolvedBody(id=identifier, answer=body.answer, state=view.state)

    return routes
