"""Which host names a request may name: a name that was made to point here (DNS rebinding) is none of ours."""

import ipaddress
import socket
from urllib.parse import urlsplit

from streaming.settings import ServiceSettings


class Hosts:
    """An address can't be rebound, so beyond loopback every address passes; of names only ours and those allowed."""

    def __init__(self, settings: ServiceSettings) -> None:
        allowed = {name.strip().lower() for name in settings.allowed_hosts.split(",")} - {""}
        self._any = "*" in allowed
        self._local = is_loopback(settings.host)
        self._names = allowed | {settings.host.lower()} | (set() if self._local else {socket.gethostname().lower()})

    def known(self, header: str) -> bool:
        """Whether the Host header is one of this service; an empty one never is."""
        name = name_in(header)
        if not name:
            return False
        if self._any or name in self._names or is_loopback(name):
            return True
        return not self._local and _is_address(name)


def name_in(header: str) -> str:
    """The name or address of a Host header, without its port; empty when there is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:  # such as an unclosed [
        return ""


def is_loopback(host: str) -> bool:
    """Whether it means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
