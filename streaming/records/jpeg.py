"""What a JPEG's header says. Source: ITU-T T.81, annex B."""

SIGNATURE = b"\xff\xd8\xff"
_SCAN, _END = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15; three of these codes are other segments
_BARE = frozenset([0x01, *range(0xD0, 0xD9)])  # markers without a length


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width. Stray bytes between segments are passed over, as decoders do.

    Raises ValueError when no frame header comes before the first scan.
    """
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 <= len(data):
        code = data[at + 1]
        if code in (0x00, 0xFF) or code in _BARE:
            at += 1 if code == 0xFF else 2
        elif code in (_SCAN, _END):
            break
        elif code in _FRAMES:
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise ValueError("JPEG without a frame header")
