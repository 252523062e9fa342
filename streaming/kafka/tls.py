"""TLS as the settings describe it, for every Python client of ours: chain and host name are always checked."""

import re
import ssl

from streaming.errors import LoginRefused
from streaming.settings import KafkaSettings


def encrypted(kafka: KafkaSettings) -> bool:
    """Whether connections are TLS."""
    return kafka.security_protocol.endswith("SSL")


def ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """Reads the files anew, so that renewed ones count. Raises LoginRefused naming the setting."""
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
    except OSError as error:  # ssl.SSLError is one, too
        raise LoginRefused(f"kafka.ssl_cafile = {kafka.ssl_cafile}: no PEM certificates: {_why(error)}") from error
    if kafka.ssl_certfile is not None:
        password = kafka.ssl_key_password.get_secret_value() if kafka.ssl_key_password else ""
        try:
            # A password that isn't set is empty: without any OpenSSL would ask for it on the terminal, and wait.
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile, lambda: password)
        except (OSError, ValueError) as error:
            files = f"kafka.ssl_certfile = {kafka.ssl_certfile}, ssl_keyfile = {kafka.ssl_keyfile}"
            raise LoginRefused(
                f"{files}: they can't be used together or with ssl_key_password: {_why(error)}"
            ) from error
    return context


def _why(error: Exception) -> str:
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return re.sub(r" \(_ssl\.c:\d+\)", "", text)
