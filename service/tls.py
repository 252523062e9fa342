"""The certificate under which the service answers: read at the start, and again when its files change."""

import ssl
from collections.abc import Callable
from pathlib import Path

from streaming.errors import SettingsError
from streaming.settings import ServiceSettings

Stamp = tuple[float, ...]


class Certificate:
    """context: of all handshakes to come. A renewed certificate counts from the next `refresh` on."""

    def __init__(self, certfile: Path, keyfile: Path | None, password: str) -> None:
        """Raises SettingsError naming the setting."""
        self._certfile = certfile
        self._keyfile = keyfile
        self._password = password
        self._stamp = self._now()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load(self.context)

    def refresh(self, failed: Callable[[str], None]) -> None:
        """Take in files that have changed. Halfway through a renewal they don't fit together: the old ones stay."""
        stamp = self._now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))  # a half-loaded pair would break the other
            self._load(self.context)
        except SettingsError as error:
            failed(str(error))

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # A password that isn't set is empty: without any OpenSSL would ask for it on the terminal, and wait.
            context.load_cert_chain(self._certfile, self._keyfile, lambda: self._password)
        except (OSError, ValueError) as error:  # ssl.SSLError is one, too
            files = f"service.tls_certfile = {self._certfile}"
            files += f", tls_keyfile = {self._keyfile}" if self._keyfile else ""
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise SettingsError(f"{files}: they can't be used together or with tls_key_password: {reason}") from error

    def _now(self) -> Stamp:
        try:
            return tuple(file.stat().st_mtime for file in (self._certfile, self._keyfile) if file is not None)
        except OSError:  # being replaced
            return ()


def certificate(settings: ServiceSettings) -> Certificate | None:
    """None: plain HTTP. Raises SettingsError."""
    if settings.tls_certfile is None:
        return None
    password = settings.tls_key_password.get_secret_value() if settings.tls_key_password else ""
    return Certificate(settings.tls_certfile, settings.tls_keyfile, password)
