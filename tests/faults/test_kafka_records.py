"""Records that would do harm, and letters about them that can't be written."""

from collections import Counter

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from streaming.demo.kafka import EmbeddedKafka
from tests.conftest import Broker, TopicFactory
from tests.faults.bombs import announced_image, announced_mask
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.scene import ALL_TRAINED, READERS, create_topic, resumed_after, sees_degraded, settle
from tests.faults.table import Results
from tests.faults.visible import Lookout, samples
from tests.faults.witness import POISON, WITNESS, witness_record
from tests.line.line import Service, produce
from tests.line.stock_listing import records_of

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

BAD = {
    "non_finite": [witness_record(POISON)] * 2,
    "too_large": [b"\x00" * 5000],
    "image_pixels": [announced_image(60_000, 60_000)],
    "image_undecodable": [announced_image(8_000, 7_900)],
    "mask_pixels": [announced_mask(60_000, 60_000)],
    "not_an_example": [b"nonsense", witness_record(5)[:40]],
}


def letters_in(servers: str, topic: str) -> Counter[str]:
    """Reasons of the letters, each counted."""
    headers = [dict(letter.headers) for letter in records_of(servers, topic)]
    return Counter(each["__connect.errors.exception.class.name"].decode() for each in headers)


@pytest.mark.parametrize("reader", [READERS[0], pytest.param(READERS[1], marks=pytest.mark.slow)])
def test_harmful_records_become_letters_and_their_neighbours_are_trained_once(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results, reader: str
) -> None:
    servers, name, letters = kafka.bootstrap_servers, topic(2), topic(1)
    produce(servers, name, map(witness_record, range(40)), partitions=2)
    service = witness(
        name,
        {**ALL_TRAINED, "kafka.reader": reader, "kafka.dead_letter_topic": letters, "records.max_bytes": 4096},
    )
    settle(service, servers, name)
    lookout = Lookout(service)
    harmful: list[bytes | None] = [value for group in BAD.values() for value in group] + [None, b"", None]
    values: list[bytes | None] = []
    for number, one in enumerate(harmful):  # eight neighbours each
        values += [*map(witness_record, range(100 + 8 * number, 108 + 8 * number)), one]
    before = service.status()["records"]["trained"]
    produce(servers, name, values, partitions=2)
    recovery_s = resumed_after(service, before)
    visible = lookout.sees(
        status=lambda status: status["records"]["dead_lettered"] == 8,
        event="records_dead_lettered",
        fields={"reasons": "non_finite"},
        metric="penstock_records_dead_lettered_total{non_finite}",
        rises=2,
    )
    status = settle(service, servers, name)
    assert status["records"]["skipped"] == 3
    assert status["worker"]["restarts"] == 0
    counted = samples(service)
    for reason, group in BAD.items():
        assert counted[f"penstock_records_dead_lettered_total{{{reason}}}"] == len(group), reason
    assert letters_in(servers, letters) == {reason: len(group) for reason, group in BAD.items()}
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 40 + 8 * len(harmful)
    results.add(
        f"poison, bombs, oversized, tombstones ({reader})",
        verdict,
        outcome="dead-lettered by reason, tombstones skipped; neighbours once",
        visible=visible,
        recovery_s=recovery_s,
    )


@pytest.mark.slow
def test_letters_that_cannot_be_written_hold_the_position_until_they_can(
    tmp_path_factory: pytest.TempPathFactory, results: Results
) -> None:
    """First the topic is missing, then the right to write to it."""
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    folder, name, letters = tmp_path_factory.mktemp("letters"), "records", "letters"
    settings = WITNESS | ALL_TRAINED | {"kafka.dead_letter_topic": letters}
    with EmbeddedKafka(folder / "kafka", config=rights) as broker:
        servers = broker.bootstrap_servers
        create_topic(servers, name)
        produce(servers, name, map(witness_record, range(40)))
        with Service(folder, servers, name, settings) as service:
            settle(service, servers, name)
            lookout = Lookout(service)
            produce(servers, name, [*map(witness_record, range(40, 60)), b"bad", *map(witness_record, range(60, 80))])
            visible = sees_degraded(lookout, "dead-letters-blocked")
            deny_writing(servers, letters)
            create_topic(servers, letters)
            produce(servers, name, map(witness_record, range(80, 90)))
            status = service.until(lambda status: "authoriz" in str(status["degraded"]).lower())
            assert status["degraded"]["reason"] == "dead-letters-blocked"
            assert status["partitions"][0]["position"] <= 60
            before = status["records"]["trained"]
            allow_again(servers, letters)
            recovery_s = resumed_after(service, before)
            status = settle(service, servers, name)
            assert status["degraded"] is None
            assert status["worker"]["restarts"] == 0
            assert letters_in(servers, letters) == {"not_an_example": 1}
            verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 90
    results.add(
        "dead-letter topic missing, then not writable",
        verdict,
        outcome="the position stands; goes on by itself",
        visible=visible,
        rounds=2,
        recovery_s=recovery_s,
    )


def deny_writing(servers: str, topic: str) -> None:
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    others = (ACLOperation.DESCRIBE, ACLOperation.READ, ACLOperation.CREATE)
    rules = [ACL("User:ANONYMOUS", "*", each, ACLPermissionType.ALLOW, pattern) for each in others]
    rules.append(ACL("User:ANONYMOUS", "*", ACLOperation.WRITE, ACLPermissionType.DENY, pattern))
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_acls(rules)
    admin.close()


def allow_again(servers: str, topic: str) -> None:
    """Without any rule everyone may do everything here."""
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.delete_acls([ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)])
    admin.close()
