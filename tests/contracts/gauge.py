"""What an anchor costs from any head to any other, without the leaves between, so that large logs cost no time."""

from hashlib import sha256
from pathlib import Path

from eth.vm.spoof import SpoofTransaction
from eth_utils.crypto import keccak

from contracts.chain import Chain
from contracts.chain_json import from_hex
from contracts.heads import log_id
from contracts.keys import PublisherKey
from ledger import merkle

_NAME = log_id("a log of a million")
_GAS = 1_000_000


class Gauge:
    """Puts a head into the contract's storage and runs the anchor of the next one, as a transaction would."""

    def __init__(self, folder: Path) -> None:
        self._key = PublisherKey.create()
        self._chain = Chain.embedded(folder / "gauge.db", funded=self._key.address)
        self._chain.deploy_if_absent(self._key)
        assert self._chain._embedded is not None
        self._evm = self._chain._embedded._chain

    def gas(self, first: int, second: int, *, seed: int = 0) -> int | None:
        """Gas of an anchor of `second` leaves on a head of `first`; None where the contract refuses it."""
        path, old, new = proof_between(first, second, seed=seed)
        return self.run(first, old, second, new, path)

    def run(self, first: int, old: bytes, second: int, new: bytes, path: list[bytes]) -> int | None:
        """The same for a proof as given, true or not."""
        data = from_hex(self._chain.anchor_call(_NAME, size=second, root=new, proof=path))
        address, sender = from_hex(self._chain.address), from_hex(self._key.address)
        head = self._evm.get_canonical_head()
        vm = self._evm.get_vm(head)  # its state is its own, and is thrown away
        slot = int.from_bytes(keccak(_NAME + bytes(32)))  # the mapping `_logs` is the contract's first slot
        vm.state.set_storage(address, slot, int.from_bytes(old))
        vm.state.set_storage(address, slot + 1, int.from_bytes(sender) | first << 160 | 1 << 224)
        vm.state.lock_changes()  # what was there before the transaction
        unsigned = vm.create_unsigned_transaction(
            nonce=0, gas_price=head.base_fee_per_gas, gas=_GAS, to=address, value=0, data=data
        )
        done = vm.state.apply_transaction(SpoofTransaction(unsigned, from_=sender, nonce=vm.state.get_nonce(sender)))
        if done.is_error:
            return None
        tokens = sum(4 if byte else 1 for byte in data)
        return max(_GAS - int(done.get_gas_remaining()), 21_000 + 10 * tokens)

    def close(self) -> None:
        self._chain.close()


def proof_between(first: int, second: int, *, seed: int) -> tuple[list[bytes], bytes, bytes]:
    """A consistency proof and both roots, of a tree whose leaves nobody made: every subtree that a proof can take
    whole gets a hash of its own, with no zero byte in it, because those are cheaper to send."""
    known: dict[tuple[int, int], bytes] = {}

    def node(level: int, number: int) -> bytes:
        start, end = number << level, (number + 1) << level
        if level and (start < first < end or start < second < end):
            return merkle.node_hash(node(level - 1, 2 * number), node(level - 1, 2 * number + 1))
        if (level, number) not in known:
            drawn = sha256(f"{seed} {level} {number}".encode()).digest()
            known[level, number] = bytes(byte or 1 for byte in drawn)
        return known[level, number]

    path = [merkle.hash_of(span, node) for span in merkle.consistency_ranges(first, second)]
    return path, merkle.hash_of((0, first), node), merkle.hash_of((0, second), node)


def steps(first: int, second: int) -> tuple[int, int]:
    """How many left and right siblings the proof has beyond its seed: what its gas goes with."""
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    levels = (fn ^ sn).bit_length()
    left = fn.bit_count()
    right = levels - (fn & ((1 << levels) - 1)).bit_count()
    return left, right
