"""The key that pays for anchors, and that the contract knows as the log's publisher."""

import os
from pathlib import Path
from typing import Any, Final, Self

from contracts.errors import ChainMismatchError, PublisherKeyError
from contracts.keystore import Keystore
from contracts.signers import KmsSigner, LocalSigner, Signer
from contracts.transactions import SignedTransaction
from ledger.kernel.settings import DEFAULT_PASSPHRASE, Settings

_TYPE: Final = b"\x02"  # EIP-1559
_MOST: Final = 2**63


class PublisherKey:
    """Signs transactions, through whoever holds the key."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @classmethod
    def create(cls) -> Self:
        """Return a new key that is kept nowhere."""
        return cls(LocalSigner(os.urandom(32)))

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Return the key an installation's settings name; a keystore is made on first use. Raises PublisherKeyError.

        Nothing is decrypted and no signer is asked yet.
        """
        if settings.signer_url:
            token = settings.signer_token.get_secret_value()
            return cls(KmsSigner(settings.signer_url, settings.signer_key_id, token=token))
        return cls.load_or_create(settings.keys_dir / "publisher.key", passphrase=settings.passphrase)

    @classmethod
    def load_or_create(cls, path: Path, *, passphrase: str = DEFAULT_PASSPHRASE) -> Self:
        """Return the key in a keystore file, made first (mode 0600) where there is none. Raises PublisherKeyError."""
        return cls(Keystore.load_or_create(path, passphrase))

    @property
    def address(self) -> str:
        """The checksummed address. Raises SignerError where an external signer does not say."""
        return self._signer.address

    def sign(self, transaction: dict[str, Any]) -> SignedTransaction:
        """Return the signed EIP-1559 transaction; the same fields from a key of ours give the same bytes (RFC 6979).

        Raises PublisherKeyError, SignerError: nothing was signed.
        """
        import rlp  # type: ignore[import-untyped]  # noqa: PLC0415  # it has no stubs; loaded where a chain is open
        from eth_utils.crypto import keccak  # noqa: PLC0415

        fields = _fields(transaction)
        signed = self._signer.sign_digest(keccak(_TYPE + rlp.encode(fields)))
        raw = _TYPE + bytes(rlp.encode([*fields, signed.y_parity, signed.r, signed.s]))
        return SignedTransaction(raw, bytes(keccak(raw)))


def _fields(transaction: dict[str, Any]) -> list[Any]:
    """Return a transaction's fields in the order EIP-1559 signs them."""
    if transaction.get("type") != 2:
        raise PublisherKeyError("only EIP-1559 transactions are signed here")
    numbers = [transaction[name] for name in ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")]
    if not all(0 <= number < _MOST for number in numbers):
        raise ChainMismatchError("the chain says a number that no transaction can have")
    return [*numbers, _bytes(transaction["to"]), transaction["value"], _bytes(transaction.get("data", b"")), []]


def _bytes(value: bytes | str) -> bytes:
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
