"""A service that signs as AWS KMS does, over HTTP on this machine: truly, or wrong in one chosen way."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from eth_keys.datatypes import PrivateKey

from contracts.signers import ORDER

SPKI = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")


def der(r: int, s: int) -> bytes:
    """Two integers as ASN.1 writes a signature."""

    def integer(number: int) -> bytes:
        data = number.to_bytes(max(1, (number.bit_length() + 8) // 8), "big")
        return b"\x02" + bytes([len(data)]) + data

    body = integer(r) + integer(s)
    return b"\x30" + bytes([len(body)]) + body


class KmsStub:
    """Signs digests as they are. `lie` names what is wrong; `high_s` turns every s into the other half."""

    def __init__(self, secret: bytes = b"\x07" * 32, *, lie: str = "", high_s: bool = False, token: str = "") -> None:
        self.key = PrivateKey(secret)
        self.lie, self.high_s, self.token = lie, high_s, token
        self.asked: list[tuple[str, dict[str, Any]]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                action = self.headers["X-Amz-Target"].removeprefix("TrentService.")
                stub.asked.append((action, body))
                status, answer = stub.answer(action, body, self.headers.get("Authorization", ""))
                if status == 0:  # hang up
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def address(self) -> str:
        return str(self.key.public_key.to_checksum_address())

    def answer(self, action: str, body: dict[str, Any], authorization: str) -> tuple[int, bytes]:
        if self.token and authorization != f"Bearer {self.token}":
            return 400, json.dumps({"__type": "AccessDeniedException"}).encode()
        if body["KeyId"] != "alias/publisher":
            return 400, json.dumps({"__type": "NotFoundException"}).encode()
        if action == "GetPublicKey":
            point = self.key.public_key.to_bytes()
            spki = SPKI + b"\x04" + point
            spec = "ECC_SECG_P256K1"
            if self.lie == "compressed":
                spki = SPKI + self.key.public_key.to_compressed_bytes()
            if self.lie == "another curve":
                spec = "ECC_NIST_P256"
            return 200, json.dumps({"PublicKey": base64.b64encode(spki).decode(), "KeySpec": spec}).encode()
        return self.sign(body)

    def sign(self, body: dict[str, Any]) -> tuple[int, bytes]:
        assert (body["MessageType"], body["SigningAlgorithm"]) == ("DIGEST", "ECDSA_SHA_256")
        digest = base64.b64decode(body["Message"])
        assert len(digest) == 32
        key = PrivateKey(b"\x08" * 32) if self.lie == "another key" else self.key
        if self.lie == "another digest":
            digest = bytes(32)
        signed = key.sign_msg_hash(digest)
        r, s = signed.r, (ORDER - signed.s if self.high_s else signed.s)
        data = {
            "r is zero": lambda: der(0, s),
            "s is the order": lambda: der(r, ORDER),
            "no DER": lambda: r.to_bytes(32, "big") + s.to_bytes(32, "big"),
            "cut DER": lambda: der(r, s)[:-1],
            "bytes after": lambda: der(r, s) + b"\0",
            "padded": lambda: _padded(der(r, s)),
            "negative": lambda: der(r, s)[:4] + bytes([der(r, s)[4] | 0x80]) + der(r, s)[5:],
            "empty": lambda: b"",
        }.get(self.lie, lambda: der(r, s))()
        text = base64.b64encode(data).decode()
        return {
            "no JSON": (200, b"<html>"),
            "a list": (200, b"[]"),
            "deep": (200, b"[" * 60_000),
            "no signature": (200, b"{}"),
            "no base64": (200, json.dumps({"Signature": "*" * 8}).encode()),
            "a number": (200, json.dumps({"Signature": 5}).encode()),
            "large": (200, json.dumps({"Signature": text, "more": "x" * 100_000}).encode()),
            "broken": (500, b""),
            "hangs up": (0, b""),
            "throttled": (400, json.dumps({"__type": "ThrottlingException"}).encode()),
        }.get(self.lie, (200, json.dumps({"Signature": text}).encode()))


def _padded(data: bytes) -> bytes:
    """The same numbers with a needless zero before r: BER, not DER."""
    length = data[3]
    body = b"\x02" + bytes([length + 1]) + b"\0" + data[4:]
    return b"\x30" + bytes([len(body)]) + body
