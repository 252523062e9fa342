"""The runbook's commands for the rights in Kafka, run with Kafka's own tool: they grant what the service needs."""

import re
import shlex

import pytest
from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePatternFilter
from kafka.admin import ResourceType as Kind

from tests.docs import RUNBOOK
from tests.line.stock_tools import ACLS, stock_tool
from tests.secure_kafka import GROUPS, LETTERS, TOPIC, SecureKafka, rights_of

pytestmark = [pytest.mark.ops, pytest.mark.kafka]
USER = "penstock"
NAMES = {TOPIC: "pets", LETTERS: "pets-dead", GROUPS: "penstock.pets"}
FORESIGHT = {(Kind.TOPIC, "pets-dead", ACLOperation.DESCRIBE_CONFIGS)}  # tells its largest letter beforehand


def commands() -> list[list[str]]:
    chapter = RUNBOOK.read_text().partition("### Rights in Kafka\n")[2].partition("\n#")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    return [shlex.split(command) for command in block.replace("\\\n", " ").splitlines()]


def test_the_commands_grant_what_the_secured_tests_run_with(secure_kafka: SecureKafka) -> None:
    for tool, *arguments in commands():
        assert tool == "kafka-acls.sh"
        stock_tool(ACLS, *(secure_kafka.bootstrap_servers if each == "BROKER" else each for each in arguments))
    anything = ResourcePatternFilter(Kind.ANY, None, ACLResourcePatternType.ANY)
    of_user = ACLFilter(f"User:{USER}", None, ACLOperation.ANY, ACLPermissionType.ANY, anything)
    with secure_kafka.administrator() as admin:
        found = admin.describe_acls(of_user)
    granted = {
        (acl.resource_pattern.resource_type, acl.resource_pattern.resource_name, acl.operation)
        for acl in (found[0] if isinstance(found, tuple) else found)
    }
    needed = {
        (acl.resource_pattern.resource_type, NAMES[acl.resource_pattern.resource_name], acl.operation)
        for acl in rights_of(USER)
    }
    assert granted == needed | FORESIGHT
