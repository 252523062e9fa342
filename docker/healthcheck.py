"""Exit 0 while /livez answers 200; for the image's HEALTHCHECK. Finds port and TLS where the service finds them."""

import os
import ssl
import sys
import tomllib
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any


def main() -> int:
    service: dict[str, Any] = {}
    if file := os.environ.get("PENSTOCK_CONFIG"):
        service = tomllib.loads(Path(file).read_text()).get("service", {})
    port = int(os.environ.get("PENSTOCK_SERVICE__PORT") or service.get("port", 8080))
    connection = HTTPConnection("127.0.0.1", port, timeout=4)
    if os.environ.get("PENSTOCK_SERVICE__TLS_CERTFILE") or service.get("tls_certfile"):
        unchecked = ssl._create_unverified_context()  # noqa: S323  # the certificate isn't for 127.0.0.1
        connection = HTTPSConnection("127.0.0.1", port, timeout=4, context=unchecked)
    try:
        connection.request("GET", "/livez")
        return int(connection.getresponse().status != 200)
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
