"""Certificates of a CA that lives as long as a test, as PEM files."""

from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Pair(NamedTuple):
    """A certificate chain and its key, PKCS#8, which Java wants."""

    certfile: Path
    keyfile: Path


class Authority:
    """Issues certificates into a folder. cafile: its own certificate."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._ca = trustme.CA()
        self.cafile = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.cafile))

    def issue(self, name: str, *hosts: str, common_name: str | None = None, password: str | None = None) -> Pair:
        """Files `<name>.crt` and `<name>.key`, written over; hosts: names and addresses; password: of the key."""
        leaf = self._ca.issue_cert(*hosts, common_name=common_name)
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        pair.certfile.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        secrecy = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        pair.keyfile.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secrecy))
        return pair
