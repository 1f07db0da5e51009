"""Evidence kept by its own hash: photographs, raw sensor windows, fruit records.

A file is named by SHA-256 and never changed; the log holds `ni:///sha-256;...` (RFC 6920) and
nothing else of it. Erasing a file leaves every proof valid.
"""

import base64
import os
import re
import tempfile
from hashlib import sha256
from pathlib import Path

from ledger.kernel.errors import IdentifierError, OriginError

_NI = re.compile(r"ni:///sha-256;([A-Za-z0-9_-]{43})")


class MissingFileError(OriginError):
    """No file with this hash is kept here, or its bytes no longer match."""

    code = "file_missing"


def ni_uri(digest: bytes) -> str:
    """Return the RFC 6920 name of a SHA-256 digest."""
    return "ni:///sha-256;" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def parse_ni(text: str) -> bytes:
    """Return the digest an `ni:` name holds. Raises IdentifierError."""
    match = _NI.fullmatch(text)
    if match is None:
        raise IdentifierError(text, "is not an ni:///sha-256 name")
    return base64.urlsafe_b64decode(match[1] + "=")


class FileStore:
    """A folder of files named by their SHA-256, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their `ni:` name. Keeping the same bytes twice changes nothing."""
        digest = sha256(data).digest()
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
                part.write(data)
                part.flush()
                os.fsync(part.fileno())
            Path(part.name).replace(path)
        return ni_uri(digest)

    def get(self, name: str) -> bytes:
        """Return the bytes of an `ni:` name. Raises MissingFileError where gone or altered."""
        digest = parse_ni(name)
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise MissingFileError(f"{name} is not kept here") from error
        if sha256(data).digest() != digest:
            raise MissingFileError(f"{name} was altered on disk")
        return data

    def has(self, name: str) -> bool:
        """Return whether something is kept under an `ni:` name; `get` says whether it is still that."""
        return self._path(parse_ni(name)).exists()

    def erase(self, name: str) -> None:
        """Forget the bytes; the hash in the log stays."""
        self._path(parse_ni(name)).unlink(missing_ok=True)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name
