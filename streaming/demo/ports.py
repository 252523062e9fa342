"""Free ports on loopback."""

import random
import socket
from collections import deque

from streaming.errors import PenstockError

_given: deque[int] = deque(maxlen=1000)  # who was given one may not listen there yet


def free_port() -> int:
    """A port below the range that outgoing connections are given, so that it is still free at a restart."""
    for _ in range(100):
        port = random.SystemRandom().randrange(20_000, 32_000)
        if port not in _given and is_free(port):
            _given.append(port)
            return port
    raise PenstockError("no free port on loopback between 20000 and 32000")


def is_free(port: int) -> bool:
    """Whether a server can listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
