"""What a line of native code's output says: who wrote it, how grave it is, whether it is known to mean nothing. Pure.

TensorFlow writes `2026-11-23 18:52:42.1: E path/file.cc:479] text`; librdkafka `%3|1700000000.1|FAIL|client| text`,
with syslog's severities.
"""

import re
from typing import Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]
Writer = Literal["tensorflow", "librdkafka", "python", "other"]
MOST_CHARACTERS = 1000

_TENSORFLOW = re.compile(
    r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: )?([IWEF])(?:\d{4} [\d:.]+ +\d+)? (\S+:\d+)\] (.*)", re.DOTALL
)
_LIBRDKAFKA = re.compile(r"%(\d)\|[\d.]+\|(\w+)\|([^|]*)\| (.*)", re.DOTALL)
_LEVELS: dict[str, Level] = {"I": "info", "W": "warning", "E": "error", "F": "error"}
_LAST_WORDS = re.compile(
    r"free\(\)|malloc|double free|corrupted|munmap_chunk|terminate called|  what\(\):|Fatal Python error"
    r"|Segmentation fault|Aborted|Killed|Bus error|Illegal instruction|Floating point exception|stack smashing"
    r"|\*\*\* .* \*\*\*|.*[Aa]ssertion .*failed|Traceback \(most recent call last\)"
)

# Each is written by a TensorFlow that is well. The source says why.
_NOISE = re.compile(
    "|".join(
        (
            r"Unable to register cu(FFT|DNN|BLAS) factory",  # twice linked, TensorFlow issue 62075
            r"Could not find TensorRT",
            r"Could not find cuda drivers",
            r"This TensorFlow binary is optimized",
            r"To enable the following instructions",
            r"Cannot compute input sources for dataset of type IO>KafkaDataset",  # it has no `InputDatasets`
            r"Local rendezvous is aborting with status: OUT_OF_RANGE: End of sequence",  # every finished iteration
            r"All broker connections are down",  # said in reads that succeed, too: health is told by our own questions
            r"successful NUMA node read from SysFS had negative value",
            r"could not open file to read NUMA node",
            r"^WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
        )
    )
)


class NativeLine(NamedTuple):
    """text: without what stands in the other fields. where: the source line, or librdkafka's facility and client."""

    level: Level
    writer: Writer
    text: str
    where: str | None = None


def parsed(line: str) -> NativeLine:
    """line: without its end. Longer ones than 1,000 characters are cut."""
    line = line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}… ({len(line)} characters)"
    found = _parsed(line)
    return found._replace(level="debug") if _NOISE.search(line) else found


def _parsed(line: str) -> NativeLine:
    if match := _TENSORFLOW.fullmatch(line):
        return NativeLine(_LEVELS[match[1]], "tensorflow", match[3], match[2])
    if match := _LIBRDKAFKA.fullmatch(line):
        return NativeLine(_severity(int(match[1])), "librdkafka", match[4], f"{match[2]} {match[3]}")
    if line.startswith(("Traceback (", "Fatal Python error", "Current thread ", "Thread 0x", '  File "')):
        return NativeLine("error", "python", line)
    return NativeLine("error" if _LAST_WORDS.match(line) else "info", "other", line)


def _severity(syslog: int) -> Level:
    """RFC 5424, section 6.2.1."""
    return "error" if syslog <= 3 else "warning" if syslog == 4 else "info" if syslog <= 6 else "debug"
