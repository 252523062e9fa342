"""Which answers a problem takes, and the decisions they become."""

import pytest

from service.answers import FactsMissing, NoAnswer, UnknownAnswer, answers_to, decision_on
from service.remedies import _REMEDIES
from streaming.control.decisions import AcceptLoss, AcceptTruncation, AdoptTopic, Decision, ResetBreaker
from streaming.control.messages import Problem


def problem(slug: str, **facts: object) -> Problem:
    return Problem(type=slug, detail="d", since=1.0, facts=facts)


@pytest.mark.parametrize(
    ("asked", "answer", "decision"),
    [
        (
            problem("data-lost", topic_id="t", before={"0": 123}, more="of later"),
            "accept",
            AcceptLoss(at=5.0, topic_id="t", before={0: 123}),
        ),
        (problem("topic-recreated", topic_id="new"), "adopt", AdoptTopic(at=5.0, topic_id="new")),
        (
            problem("log-truncated", topic_id="t", ends={"2": 17}),
            "retrain",
            AcceptTruncation(at=5.0, topic_id="t", ends={2: 17}),
        ),
        (problem("records-all-bad"), "continue", ResetBreaker(at=5.0)),
        (problem("records-mostly-bad"), "continue", ResetBreaker(at=5.0)),
    ],
    ids=lambda value: value.type if isinstance(value, Problem) else None,
)
def test_answer_becomes_its_decision(asked: Problem, answer: str, decision: Decision) -> None:
    assert [each.name for each in answers_to(asked.type)] == [answer]
    assert decision_on(asked, answer, 5.0) == decision


def test_without_facts_there_is_no_decision() -> None:
    with pytest.raises(FactsMissing):
        decision_on(problem("data-lost"), "accept", 5.0)


def test_wrong_answers_and_problems_without_answers_are_told_apart() -> None:
    with pytest.raises(UnknownAnswer):
        decision_on(problem("data-lost"), "adopt", 5.0)
    for slug in _REMEDIES.keys() - {"data-lost", "topic-recreated", "log-truncated"}:
        if not slug.startswith("records-"):
            with pytest.raises(NoAnswer):
                decision_on(problem(slug), "accept", 5.0)
