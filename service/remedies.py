"""What a person can do about a problem, by its type."""

_REMEDIES = {
    "restart-budget-exhausted": [
        "read the log's last worker_exited events and mend the cause, then restart the service",
        "raise service.restart_budget if the cause is outside and passes",
    ],
    "directory-locked": ["stop the other service, or give this one a name or checkpoint.directory of its own"],
    "checkpoint-storage": ["mend the checkpoint directory (space, rights, mount), then restart the service"],
    "kafka-unavailable": ["nothing, if the broker comes back: it is tried again; otherwise check kafka.*"],
    "all-records-bad": ["correct records.parse or the records' format, then restart: nothing of them was settled"],
    "too-many-bad-records": ["correct records.parse or the producer; or raise records.max_bad_fraction"],
    "log-truncated": ["the topic lost records that were trained: restore the topic, or begin a new run"],
    "topic-recreated": ["the topic's offsets mean other records now: begin a new run"],
    "records-lost": ["raise the topic's retention, or train faster: records were removed before they were read"],
    "checkpoint-failed": ["free space in the checkpoint directory, or mend it; training goes on meanwhile"],
}


def remedies_for(problem_type: str) -> list[str]:
    """Possibly none: then the problem's own text has to do."""
    return _REMEDIES.get(problem_type, [])
