"""What a person can answer to a problem, and the decision that each answer becomes. Pure."""

from typing import NamedTuple

from pydantic import ValidationError

from streaming.control.decisions import AcceptLoss, AcceptTruncation, AdoptTopic, Decision, ResetBreaker
from streaming.control.messages import Problem


class Answer(NamedTuple):
    """name: what is sent; effect: what it does, one clause for people."""

    name: str
    effect: str


class NoAnswer(Exception):
    """This problem isn't settled by a decision; its remedies say what does."""


class UnknownAnswer(Exception):
    """The problem has answers, and this isn't one of them."""


class FactsMissing(Exception):
    """The worker hasn't said what the decision is to be made of."""


_CONTINUE = Answer("continue", "go on, and count bad records anew"), ResetBreaker
_ANSWERS: dict[str, tuple[Answer, type[AcceptLoss | AdoptTopic | AcceptTruncation | ResetBreaker]]] = {
    "data-lost": (Answer("accept", "the lost records stay lost, and are no problem until more are"), AcceptLoss),
    "topic-recreated": (Answer("adopt", "train the new topic from its beginning with these weights"), AdoptTopic),
    "log-truncated": (Answer("retrain", "train what stands at the lost offsets now"), AcceptTruncation),
    "records-all-bad": _CONTINUE,
    "records-mostly-bad": _CONTINUE,
}


def answers_to(problem_type: str) -> list[Answer]:
    """None for a problem that is mended elsewhere."""
    return [_ANSWERS[problem_type][0]] if problem_type in _ANSWERS else []


def decision_on(problem: Problem, answer: str, at: float) -> Decision:
    """The decision that an answer makes, at a Unix time. Raises NoAnswer, UnknownAnswer, FactsMissing."""
    if problem.type not in _ANSWERS:
        raise NoAnswer
    known, kind = _ANSWERS[problem.type]
    if answer != known.name:
        raise UnknownAnswer
    facts = {name: value for name, value in problem.facts.items() if name in kind.model_fields}
    try:
        return kind.model_validate({**facts, "at": at})
    except ValidationError as error:
        raise FactsMissing from error
