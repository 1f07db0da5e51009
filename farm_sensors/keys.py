"""A device's own Ed25519 key, in a file that only its owner may read. It never leaves the device."""

import base64
import os
from pathlib import Path
from typing import Final, Self

from nacl.signing import SigningKey

from farm_sensors.errors import KeyFileError

_SEED_BYTES: Final = 32


class DeviceKey:
    """Signs the bytes of packs."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED_BYTES:
            raise KeyFileError(f"a device key has {_SEED_BYTES} bytes, not {len(seed)}")
        self._key = SigningKey(seed)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file. Raises KeyFileError."""
        try:
            return cls(base64.b64decode(path.read_bytes().strip(), validate=True))
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{path} holds no device key: {error}") from error

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a key and write its file. Raises KeyFileError where one is already."""
        made = cls(os.urandom(_SEED_BYTES))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise KeyFileError(f"{path} is there already; a device keeps its key") from error
        except OSError as error:
            raise KeyFileError(f"{path} cannot be written: {error}") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(bytes(made._key)) + b"\n")
        return made

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read a key file, or make one where there is none. Raises KeyFileError."""
        return cls.load(path) if path.exists() else cls.create(path)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return bytes(self._key.verify_key)

    @property
    def public_base64(self) -> str:
        """The public key as enrolment files write it."""
        return base64.b64encode(self.public).decode()

    def sign(self, body: bytes) -> bytes:
        """Return the 64 bytes of signature over exactly these bytes."""
        return self._key.sign(body).signature


def create_key(path: Path) -> str:
    """Make a device key, write its file and return the public half in base64. Raises KeyFileError."""
    return DeviceKey.create(path).public_base64
