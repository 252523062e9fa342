"""Compares a topic with a ledger, using nothing of penstock: kafka-python, HTTP and sets.

Usage: stock_listing.py BOOTSTRAP TOPIC LETTERS URL CHECKPOINT
Prints one line of JSON: how many offsets there are, both set differences, and offsets of two kinds.
"""

import json
import sys
import urllib.request

from kafka import KafkaConsumer, TopicPartition

KINDS = ("trained", "held_out", "dead_lettered", "skipped", "absent", "lost", "excluded")


def records_of(servers, topic):
    """Every record that a read_committed consumer sees."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    ends = consumer.end_offsets(parts)
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    found = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for batch in consumer.poll(timeout_ms=500).values():
            found += batch
    consumer.close()
    return found


def ledger_of(url, checkpoint):
    """partition -> kind -> intervals, over all pages."""
    ledger, cursor = {}, None
    while True:
        query = f"?cursor={cursor}" if cursor else ""
        with urllib.request.urlopen(f"{url}/v1/checkpoints/{checkpoint}/records{query}") as answer:
            page = json.load(answer)
        for part in page["partitions"]:
            kinds = ledger.setdefault(part["partition"], {kind: [] for kind in KINDS})
            for kind in KINDS:
                kinds[kind] += part[kind]
        cursor = page["next"]
        if cursor is None:
            return ledger


def main(servers, topic, letters, url, checkpoint):
    in_topic = {(record.partition, record.offset) for record in records_of(servers, topic)}
    lettered = set()
    for letter in records_of(servers, letters):
        headers = dict(letter.headers)
        assert headers["__connect.errors.topic"].decode() == topic
        place = headers["__connect.errors.partition"], headers["__connect.errors.offset"]
        lettered.add((int(place[0]), int(place[1])))
    kind_of, twice = {}, []
    for partition, kinds in ledger_of(url, checkpoint).items():
        for kind, intervals in kinds.items():
            for start, stop in intervals:
                for offset in range(start, stop):
                    if (partition, offset) in kind_of:
                        twice.append([partition, offset])
                    kind_of[partition, offset] = kind
    real = {place for place, kind in kind_of.items() if kind not in ("absent", "lost")}
    dead = {place for place, kind in kind_of.items() if kind == "dead_lettered"}
    print(
        json.dumps(
            {
                "records": len(in_topic),
                "kinds": {kind: sum(k == kind for k in kind_of.values()) for kind in KINDS},
                "in_topic_not_in_ledger": sorted(in_topic - real),
                "in_ledger_not_in_topic": sorted(real - in_topic),
                "of_two_kinds": twice,
                "letters_without_entry": sorted(lettered - dead),
                "entries_without_letter": sorted(dead - lettered),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
