"""The publisher's key in a file, sealed by a passphrase: Web3 Secret Storage, version 3, with scrypt.

geth, clef, MetaMask and every other wallet read the same file. The address stands in it in the open, so that
a process learns whom it publishes as without the second the passphrase costs; that is paid once, when
something is signed.
"""

import json
import os
import re
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any, Final, Self

from contracts.errors import PublisherKeyError
from contracts.recursion import keep_recursion_limit
from contracts.signers import LocalSigner, Signature
from ledger.kernel.settings import DEFAULT_PASSPHRASE

_STANDARD: Final = 2**18
_LIGHT: Final = 2**12
"""Work for a passphrase that everybody knows, which no work protects."""
_MAX_WORK: Final = 2**20
"""A gigabyte of memory: a file that asks for more is not one of ours."""
_PLAIN: Final = re.compile(r"[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"(0x)?[0-9a-fA-F]{40}")


class Keystore:
    """A sealed secp256k1 key. Threads may share one; the passphrase is worked through once."""

    def __init__(self, path: Path, passphrase: str) -> None:
        self._path = path
        self._passphrase = passphrase
        self._sealed = _read(path)
        self._opened: LocalSigner | None = None
        self._opening = threading.Lock()

    @classmethod
    def load_or_create(cls, path: Path, passphrase: str) -> Self:
        """Return the key kept at `path`, made first (mode 0600) where there is none.

        A plain key of an earlier version is sealed on the way, in the same file. Raises PublisherKeyError.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _keep_new(path, _seal(os.urandom(32), passphrase))
        elif _PLAIN.fullmatch(text := _read_private(path).strip()):
            seal(path, bytes.fromhex(text), passphrase)
        return cls(path, passphrase)

    @property
    def address(self) -> str:
        """The checksummed address, read without the passphrase."""
        from eth_utils.address import to_checksum_address  # noqa: PLC0415  # loaded where a chain is open

        return str(to_checksum_address(self._sealed["address"]))

    def sign_digest(self, digest: bytes) -> Signature:
        """Return the signature of 32 bytes. Raises PublisherKeyError where the passphrase does not open the file."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
        return self._opened.sign_digest(digest)

    def secret(self) -> bytes:
        """Return the 32 bytes themselves, to seal them under another passphrase. Raises PublisherKeyError."""
        from eth_keyfile.keyfile import decode_keyfile_json  # noqa: PLC0415  # a second of imports

        keep_recursion_limit()
        try:
            return bytes(decode_keyfile_json(self._sealed, self._passphrase.encode()))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PublisherKeyError(
                f"GUOYUAN_KEYSTORE_PASSPHRASE does not open {self._path}, or the file is damaged"
            ) from error

    def _open(self) -> LocalSigner:
        from eth_utils.exceptions import ValidationError  # noqa: PLC0415  # loaded where a chain is open

        try:
            opened = LocalSigner(self.secret())
        except ValidationError as error:
            raise PublisherKeyError(f"{self._path} does not hold a publisher key") from error
        if opened.address != self.address:
            raise PublisherKeyError(f"{self._path} holds the key of {opened.address}, and says {self.address}")
        return opened


def seal(path: Path, secret: bytes, passphrase: str) -> None:
    """Put a key into a file under a passphrase, in place of what it held, whole or not at all.

    Raises PublisherKeyError for bytes that are no key.
    """
    part = _write_part(path, _seal(secret, passphrase))
    part.replace(path)


def _seal(secret: bytes, passphrase: str) -> str:
    from eth_keyfile.keyfile import create_keyfile_json  # noqa: PLC0415  # see above
    from eth_utils.exceptions import ValidationError  # noqa: PLC0415

    keep_recursion_limit()
    work = _LIGHT if passphrase == DEFAULT_PASSPHRASE else _STANDARD
    try:
        sealed = create_keyfile_json(secret, passphrase.encode(), kdf="scrypt", iterations=work)
    except (ValidationError, ValueError) as error:
        raise PublisherKeyError("these bytes are not a publisher key") from error
    return json.dumps(sealed, indent=2) + "\n"


def _read(path: Path) -> dict[str, Any]:
    """Return a keystore file, of the kind we write. Raises PublisherKeyError."""
    try:
        found = json.loads(_read_private(path))
        scrypt = found["crypto"]["kdfparams"]
        is_ours = (
            found["version"] == 3 and found["crypto"]["kdf"] == "scrypt" and bool(_ADDRESS.fullmatch(found["address"]))
        )
        is_bounded = 1 < scrypt["n"] <= _MAX_WORK and 0 < scrypt["r"] * scrypt["p"] <= 64
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PublisherKeyError(f"{path} does not hold a publisher key") from error
    if not is_ours or not is_bounded:
        raise PublisherKeyError(f"{path} is not a version 3 keystore sealed by scrypt")
    return dict(found)


def _read_private(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise PublisherKeyError(f"{path} can be read by others; set its mode to 0600")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PublisherKeyError(f"{path} does not hold a publisher key") from error


def _keep_new(path: Path, text: str) -> None:
    """Write a new file; where two start at once, the first one's key counts."""
    part = _write_part(path, text)
    try:
        path.hardlink_to(part)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _write_part(path: Path, text: str) -> Path:
    descriptor, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(part)
