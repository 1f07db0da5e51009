"""Several small files in one body: each is four bytes of length, most significant first, and then itself."""

import struct
from collections.abc import Iterable
from typing import Final

from grading.errors import EvidenceError

BUNDLE: Final = "application/octet-stream"
_LENGTH: Final = struct.Struct(">I")


def bundled(files: Iterable[bytes]) -> bytes:
    """Return several files as one body."""
    return b"".join(_LENGTH.pack(len(data)) + data for data in files)


def unbundled(body: bytes) -> list[bytes]:
    """Return the files in a body. Raises EvidenceError where it ends within one."""
    files, at = [], 0
    while at < len(body):
        start = at + _LENGTH.size
        if start > len(body) or start + _LENGTH.unpack_from(body, at)[0] > len(body):
            raise EvidenceError(f"the body ends within the file at byte {at}")
        at = start + _LENGTH.unpack_from(body, at)[0]
        files.append(body[start:at])
    return files
