"""Can the brokers be reached, are they who they say they are, and do they let us in? Asked before any client tries.

Every answer but yes is an error of a kind of its own (`streaming.errors`), in one sentence with its cause.
"""

import time
from collections.abc import Iterable
from contextlib import closing, suppress

from kafka.admin import ACLOperation
from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.metadata import FindCoordinatorRequest, MetadataRequest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from streaming.errors import BrokerUnreachable, BrokerUntrusted, KafkaUnavailable, LoginRefused, RightMissing
from streaming.kafka.tls import encrypted
from streaming.kafka.wire import Address, Wire, addresses
from streaming.settings import KafkaSettings

GROUP_DENIED = 30
COORDINATOR_LOADING, COORDINATOR_MISSING = 14, 15
LOOK_AGAIN_S = 10.0
NAME_TIMEOUT_S = 2.0


class _NotYet(KafkaUnavailable):
    """Soon, maybe."""


# The first question about any group makes the broker create its offsets topic; until then nobody answers.
_patiently = Retrying(
    retry=retry_if_exception_type(_NotYet), stop=stop_after_delay(5), wait=wait_fixed(0.2), reraise=True
)


def reach(kafka: KafkaSettings, client_id: str) -> tuple[Address, ...]:
    """The addresses that the brokers advertise, from the first of `kafka.bootstrap_servers` that lets us in.

    Raises KafkaUnavailable when none does: what a broker says that refuses us, rather than that others are away.
    """
    with closing(_let_in(kafka, client_id)) as wire:
        answer = wire.ask(MetadataRequest(version=4, topics=[], allow_auto_topic_creation=False))
    return tuple(Address(broker.host, broker.port) for broker in answer.brokers)


def check_group(kafka: KafkaSettings, client_id: str, group_id: str) -> None:
    """Raises RightMissing unless we may Describe and Read the consumer group."""
    coordinator = _coordinator(kafka, client_id, group_id)
    with Wire(kafka, client_id, coordinator, kafka.bootstrap_timeout_s) as wire:
        wire.log_in()
        # From version 6 on, a group that has never been used is an error and comes without rights.
        asked = DescribeGroupsRequest(version=5, groups=[group_id], include_authorized_operations=True)
        (group,) = wire.ask(asked).groups
    if group.error_code == GROUP_DENIED:
        raise _no_right(group_id, "Describe")
    if group.error_code == 0 and ACLOperation.READ not in group.authorized_operations:
        raise _no_right(group_id, "Read")


class Names:
    """Whose certificates were seen to be theirs, for a reader that can't check that. Belongs to one thread.

    It holds for ten seconds, and so long a broker that is away isn't looked for.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._holds_until: dict[Address, float] = {}

    def check(self, advertised: Iterable[Address]) -> None:
        """These and the bootstrap servers. Raises BrokerUntrusted; without TLS there are no names."""
        if not encrypted(self._kafka):
            return
        wanted = {*advertised, *addresses(self._kafka.bootstrap_servers)}
        now = time.monotonic()
        self._holds_until = {one: until for one, until in self._holds_until.items() if one in wanted and now < until}
        for address in sorted(wanted - self._holds_until.keys()):
            with suppress(BrokerUnreachable), Wire(self._kafka, self._client_id, address, NAME_TIMEOUT_S):
                pass
            self._holds_until[address] = now + LOOK_AGAIN_S


def _let_in(kafka: KafkaSettings, client_id: str) -> Wire:
    """An open connection to whichever bootstrap server lets us in first."""
    servers = addresses(kafka.bootstrap_servers)
    failures: list[KafkaUnavailable] = []
    for address in servers:
        wire = Wire(kafka, client_id, address, max(1.0, kafka.bootstrap_timeout_s / len(servers)))
        try:
            wire.open()
            wire.log_in()
        except KafkaUnavailable as error:
            wire.close()
            failures.append(error)
        else:
            return wire
    raise next((failure for failure in failures if isinstance(failure, LoginRefused | BrokerUntrusted)), failures[0])


def _coordinator(kafka: KafkaSettings, client_id: str, group_id: str) -> Address:
    with closing(_let_in(kafka, client_id)) as wire:
        return _patiently(_find_coordinator, wire, group_id)


def _find_coordinator(wire: Wire, group_id: str) -> Address:
    answer = wire.ask(FindCoordinatorRequest(version=1, key=group_id, key_type=0))
    if answer.error_code == GROUP_DENIED:
        raise _no_right(group_id, "Describe")
    if answer.error_code in (COORDINATOR_LOADING, COORDINATOR_MISSING):
        raise _NotYet(f"consumer group {group_id}: no broker coordinates it")
    if answer.error_code:
        raise KafkaUnavailable(f"consumer group {group_id}: the broker answers error {answer.error_code}")
    return Address(answer.host, answer.port)


def _no_right(group_id: str, right: str) -> RightMissing:
    return RightMissing(
        f"no right to {right.lower()} consumer group {group_id}; grant Describe and Read on it to this user"
    )
