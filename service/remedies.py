"""What a person can do about a problem, by its type; the usual remedy first. `ops/runbook.md` says more of each."""

_ANEW = "to begin anew, give this training another name, and another checkpoint.directory where that is set"

_REMEDIES = {
    "checkpoint-damaged": [
        "nothing at once: training went on from an older checkpoint and repeats what came after it",
        "look into the disk; `penstock checkpoints list` shows which are left",
    ],
    "checkpoint-failing": [
        "free space in the checkpoint directory, or mend it: the next save is tried by itself",
        "until then nothing new is durable, and a restart would repeat the work",
    ],
    "checkpoint-mismatch": [
        "if the model was changed on purpose: `penstock checkpoints adapt ID --init 'PATTERN'` takes over what fits",
        "put model.* and pipeline.image_size back to what the checkpoint was trained with, then restart the service",
        "or begin anew: `penstock new-run` puts the checkpoints aside",
    ],
    "checkpoint-storage": ["mend the checkpoint directory (space, rights, mount), then restart the service"],
    "checkpoint-unusable": [
        "mend the checkpoint directory, or put a backup of it in place, then restart the service",
        _ANEW,
    ],
    "checkpoints-missing": [
        "mount the folder that holds the checkpoints, or correct checkpoint.directory, then restart the service",
        _ANEW,
        "or set checkpoint.allow_fresh for one start",
    ],
    "data-lost": [
        "raise the topic's retention, or train faster: records were removed before they were read",
        "resolve it with `accept` once that is understood; where kafka.on_data_loss is stop, training goes on then",
    ],
    "dead-letters-blocked": [
        "create the dead-letter topic, or grant this user Describe and Write on it: it is tried again by itself",
        "or unset kafka.dead_letter_topic and restart the service: bad records are then counted and logged only",
    ],
    "directory-locked": ["stop the other service, or give this one a name or checkpoint.directory of its own"],
    "kafka-unavailable": ["nothing, if the broker comes back: it is tried again; else correct what the text names"],
    "log-truncated": [
        "resolve it with `retrain`: from the cut on the offsets are owed again, with whatever stands there now",
        "or bring the lost part of the log back from another replica, then restart the service",
    ],
    "mirror-failing": [
        "nothing for the training: only the offsets that Kafka's own tools show of the consumer group are old",
        "grant this user Read on the group, or stop whoever consumes under the same group id: it is tried again",
    ],
    "reading-failed": [
        "nothing, if it passes: the same records are planned again after a pause of 1 to 30 s",
        "otherwise look into the broker's log for what the text names",
    ],
    "records-all-bad": [
        "correct records.parse, or what the producer sends, then restart the service: none of them was settled",
        "or, if the producer was mended, resolve it with `continue`: the bad ones are dead-lettered one by one",
    ],
    "records-mostly-bad": [
        "correct records.parse, or what the producer sends, then restart the service",
        "or, if the producer was mended or they are expected, resolve it with `continue`: it is counted anew",
        "or raise records.max_bad_fraction, if so many bad records are expected",
    ],
    "restart-budget-exhausted": [
        "read the log's worker_exited events and what the worker wrote before them, mend the cause, then restart",
        "raise service.restart_budget if the cause is outside and passes",
    ],
    "retention-near": [
        "raise the topic's retention.ms or retention.bytes; it counts at once",
        "let it train (resume or start it, mend what keeps it from going on), or let it train faster",
    ],
    "retention-unwatched": ["restart the service; until then nobody warns before retention removes what isn't trained"],
    "settings-unusable": ["correct the setting or the versions that the text names, then restart the service"],
    "topic-changed": [_ANEW, "or put kafka.topic back"],
    "topic-recreated": [
        "resolve it with `adopt`: the new topic is trained from its beginning, with the weights there are",
        "or correct kafka.topic and kafka.bootstrap_servers, if they name the wrong topic, and restart the service",
        _ANEW,
    ],
    "transaction-open": [
        "nothing, if its producer commits: what is behind it is read then; Kafka ends it by transaction.timeout.ms",
        "else find the producer with `kafka-transactions.sh find-hanging`, and end it or abort its transaction",
    ],
    "user-code-failed": ["mend the function that the text names, or its module's place on PYTHONPATH, then restart"],
}


def remedies_for(problem_type: str) -> list[str]:
    """Possibly none: then the problem's own text has to do."""
    return _REMEDIES.get(problem_type, [])
