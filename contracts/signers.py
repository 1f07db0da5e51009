"""Who signs for the publisher: a key in this process, or a service that keeps it and shows it to nobody.

A signer signs 32 bytes and nothing else. What comes back from outside is checked here against the
address it should be of, so that a signature of another key, or of other bytes, is never sent.
"""

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from contracts.errors import SignerRefusedError, SignerUnreachableError, WrongSignatureError

if TYPE_CHECKING:
    from eth_keys.datatypes import PrivateKey, PublicKey

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, section 2.4.1)."""

_TIMEOUT_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 65_536
# SubjectPublicKeyInfo of an uncompressed secp256k1 point (RFC 5480): the algorithm, the curve, 65 bytes.
_SPKI: Final = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature as EIP-1559 writes it: `s` in the lower half, and which of two points `r` is."""

    r: int
    s: int
    y_parity: int


class Signer(Protocol):
    """Whoever holds the publisher's secp256k1 key."""

    @property
    def address(self) -> str:
        """The checksummed address of its key."""
        ...

    def sign_digest(self, digest: bytes) -> Signature:
        """Return the signature of 32 bytes, taken as they are. Raises ChainError."""
        ...


class LocalSigner:
    """A key in this process's memory. Signs by RFC 6979: the same digest gives the same bytes."""

    def __init__(self, secret: bytes) -> None:
        self._key = _private_key(secret)

    @property
    def address(self) -> str:
        """The checksummed address."""
        return str(self._key.public_key.to_checksum_address())

    def sign_digest(self, digest: bytes) -> Signature:
        """Return the signature of 32 bytes."""
        signed = self._key.sign_msg_hash(digest)
        return Signature(signed.r, signed.s, signed.v)


class KmsSigner:
    """A key in a service that speaks as AWS KMS does: `GetPublicKey`, and `Sign` of a digest.

    JSON 1.1 over HTTP, `X-Amz-Target: TrentService.Sign`, `MessageType: DIGEST`,
    `SigningAlgorithm: ECDSA_SHA_256`, DER back. AWS itself wants requests signed by its own scheme: put its
    signing proxy between. A token, where one is given, goes along as `Authorization: Bearer`.
    """

    def __init__(self, url: str, key_id: str, *, token: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        self._url = url
        self._key_id = key_id
        self._token = token
        self._timeout_s = timeout_s

    @cached_property
    def address(self) -> str:
        """The checksummed address of the service's key, asked once. Raises SignerError."""
        answer = self._ask("GetPublicKey", {})
        if answer.get("KeySpec", "ECC_SECG_P256K1") != "ECC_SECG_P256K1":
            raise WrongSignatureError(f"the signer's key is a {answer['KeySpec']!s:.40}, not secp256k1")
        der = _base64(answer.get("PublicKey"))
        if len(der) != len(_SPKI) + 65 or not der.startswith(_SPKI) or der[len(_SPKI)] != 4:
            raise WrongSignatureError("the signer's public key is not an uncompressed secp256k1 point")
        return str(_public_key(der[len(_SPKI) + 1 :]).to_checksum_address())

    def sign_digest(self, digest: bytes) -> Signature:
        """Return the signature of 32 bytes, which this key made and no other. Raises SignerError."""
        address = self.address
        answer = self._ask(
            "Sign",
            {
                "Message": base64.b64encode(digest).decode(),
                "MessageType": "DIGEST",
                "SigningAlgorithm": "ECDSA_SHA_256",
            },
        )
        r, s = read_der(_base64(answer.get("Signature")))
        return complete(digest, r, s, address=address)

    def _ask(self, action: str, fields: dict[str, str]) -> dict[str, Any]:
        import httpx  # noqa: PLC0415  # only where a service signs

        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{action}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            answer = httpx.post(
                self._url, json={"KeyId": self._key_id, **fields}, headers=headers, timeout=self._timeout_s
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The kind of failure without its text: that holds the URL, and a URL may hold a secret.
            raise SignerUnreachableError(type(error).__name__) from error
        if answer.status_code >= 500:
            raise SignerUnreachableError(f"HTTP {answer.status_code}")
        if len(answer.content) > _MAX_ANSWER_BYTES:
            raise WrongSignatureError("the signer's answer is larger than any signature")
        try:
            body = answer.json()
        except (ValueError, RecursionError) as error:
            raise WrongSignatureError("the signer's answer is not JSON") from error
        if not isinstance(body, dict):
            raise WrongSignatureError("the signer's answer is not a JSON object")
        if answer.status_code != 200:
            raise SignerRefusedError(str(body.get("__type", f"HTTP {answer.status_code}"))[:80])
        return body


def complete(digest: bytes, r: int, s: int, *, address: str) -> Signature:
    """Return a bare signature with `s` in the lower half (EIP-2) and its recovery id.

    Raises WrongSignatureError unless the key of this address made it over this digest.
    """
    from eth_keys.datatypes import Signature as EthSignature  # noqa: PLC0415  # loaded where a chain is open
    from eth_keys.exceptions import BadSignature  # noqa: PLC0415
    from eth_utils.exceptions import ValidationError  # noqa: PLC0415

    if not (0 < r < ORDER and 0 < s < ORDER):
        raise WrongSignatureError("the signature's numbers are out of range")
    s = min(s, ORDER - s)
    for parity in (0, 1):
        try:
            found = EthSignature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest)
        except (BadSignature, ValidationError, ValueError):
            continue
        if found.to_checksum_address() == address:
            return Signature(r, s, parity)
    raise WrongSignatureError(f"the signature is not one of {address} over what was to be signed")


def read_der(data: bytes) -> tuple[int, int]:
    """Return r and s of an ECDSA signature in DER (RFC 3279, section 2.2.3). Raises WrongSignatureError."""
    if len(data) < 8 or len(data) > 72 or data[0] != 0x30 or data[1] != len(data) - 2:
        raise WrongSignatureError("the signature is not DER")
    r, rest = _der_integer(data[2:])
    s, rest = _der_integer(rest)
    if rest:
        raise WrongSignatureError("bytes follow the signature")
    return r, s


def _der_integer(data: bytes) -> tuple[int, bytes]:
    if len(data) < 3 or data[0] != 0x02 or not 0 < data[1] <= 33 or len(data) < 2 + data[1]:
        raise WrongSignatureError("the signature is not two DER integers")
    number = data[2 : 2 + data[1]]
    is_padded = len(number) > 1 and number[0] == 0 and number[1] < 0x80
    if number[0] >= 0x80 or is_padded:
        raise WrongSignatureError("a number of the signature is negative or padded")
    return int.from_bytes(number, "big"), data[2 + data[1] :]


def _base64(text: object) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "*", validate=True)
    except (binascii.Error, ValueError) as error:
        raise WrongSignatureError("the signer's answer holds no base64 where it should") from error


def _private_key(secret: bytes) -> "PrivateKey":
    from eth_keys.datatypes import PrivateKey  # noqa: PLC0415  # loaded where something is signed

    return PrivateKey(secret)


def _public_key(point: bytes) -> "PublicKey":
    from eth_keys.datatypes import PublicKey  # noqa: PLC0415  # see above

    return PublicKey(point)
