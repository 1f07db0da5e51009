"""The control: anchoring without an outbox. It sends, and then writes down that it did."""

import json
from pathlib import Path

from contracts.chain import Chain
from contracts.heads import log_id
from contracts.keys import PublisherKey
from tests.contracts.simulators import ORIGIN, Head, SampleLog


class NaiveAnchorer:
    """What most programs do: ask for the nonce, sign, send, remember."""

    def __init__(self, chain: Chain, key: PublisherKey, log: SampleLog, *, notes: Path) -> None:
        self.chain, self.key, self.log, self.notes = chain, key, log, notes

    def written(self) -> dict[str, str]:
        return dict(json.loads(self.notes.read_text())) if self.notes.exists() else {}

    def anchor(self, head: Head) -> None:
        if str(head.size) in self.written():
            return
        name = log_id(ORIGIN)
        held = self.chain.head(name).size
        proof = self.log.consistency(None, held, head.size) if 0 < held < head.size else []
        data = self.chain.anchor_call(name, size=head.size, root=head.root, proof=proof)
        nonce = self.chain.nonce(self.key.address)
        signed = self.chain.sign(self.key, data=data, nonce=nonce, gas=200_000, fees=self.chain.fees())
        self.chain.send_raw(signed.raw)
        self.notes.write_text(json.dumps(self.written() | {str(head.size): signed.tx_hash.hex()}))
