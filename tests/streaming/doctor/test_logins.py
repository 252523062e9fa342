"""The doctor says the same sentences of a login, a certificate or a right as the service, with what to do."""

import time
from pathlib import Path

import pytest
from kafka.admin import ACLOperation, ResourcePattern, ResourceType

from streaming.doctor.cli import findings
from streaming.doctor.finding import Finding, Verdict
from streaming.settings import parse_settings
from tests.line.test_secure import SOON_S, WRONG
from tests.secure_kafka import PASSWORD, SECRET_TOPIC, USER, SecureKafka

pytestmark = pytest.mark.kafka
CHECK = {"advertised name": "topic", "right to read": "topic", "group": "group"}


def examined(kafka: dict[str, object], directory: Path) -> dict[str, Finding]:
    tree = {"kafka": kafka, "checkpoint": {"directory": str(directory / "checkpoints")}}
    return {finding.check: finding for finding in findings(parse_settings(tree), quick=True)}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_a_sentence_within_15_s(secure_kafka: SecureKafka, tmp_path: Path, case: str) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.TOPIC, SECRET_TOPIC))
    change, sentence = WRONG[case]
    began = time.monotonic()
    found = examined(change(secure_kafka), tmp_path)
    assert time.monotonic() - began < SOON_S
    finding = found[CHECK.get(case, "broker")]
    assert finding.verdict is Verdict.FAILED
    assert sentence in finding.detail
    assert finding.remedy
    assert not any(secret in f"{found}" for secret in (PASSWORD, "canary"))


def test_a_group_that_can_not_be_written_is_told_with_the_right_to_grant(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.GROUP, "only-described"))
    finding = examined(secure_kafka.login(group_id="only-described"), tmp_path)["group"]
    assert (finding.verdict, finding.remedy) == (Verdict.FAILED, "grant Describe and Read on it to this user")
    assert "no right to read consumer group only-described" in finding.detail


def test_a_login_that_is_right_has_all_rights(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    found = examined(secure_kafka.login(), tmp_path)
    assert {found[check].verdict for check in ("broker", "topic", "group")} == {Verdict.OK}
