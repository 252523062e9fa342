"""`python -m streaming decode`: decodes the records that it is sent, one by one; one of them may be its death.

Standard input: a line of JSON {settings, labels}, then records: two little-endian uint32 lengths, value, key.
To the descriptor it is given it answers one byte for each record that it survived.
"""

import json
import os
import resource
import struct
import sys

from streaming.decoding import build_decoder
from streaming.parent import die_with_parent
from streaming.settings import parse_settings

LENGTHS = struct.Struct("<II")
SURVIVED = b"."


def main(descriptor: int) -> None:
    """Until the end of input."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = sys.stdin.buffer
    asked = json.loads(source.readline())
    decode = build_decoder(parse_settings(asked["settings"]), labels=asked["labels"])
    while len(head := source.read(LENGTHS.size)) == LENGTHS.size:
        value_length, key_length = LENGTHS.unpack(head)
        decode(source.read(value_length), source.read(key_length))
        os.write(descriptor, SURVIVED)
