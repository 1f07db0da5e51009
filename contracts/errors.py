"""What the chain, or the way to it, refuses.

ChainError
├── ChainUnreachableError     no answer from the JSON-RPC door
├── ChainFileError            the embedded chain's file cannot be used
├── ReadOnlyChainError        this process opened the embedded chain for reading
├── PublisherKeyError         the publisher's key file cannot be used
├── SignerError               the service that signs for us does not sign
│   ├── SignerUnreachableError
│   ├── SignerRefusedError    it says no
│   └── WrongSignatureError   what it answers is no signature of ours
├── NotDeployedError          no contract of ours is known on this chain
├── ChainMismatchError        the chain is not the one this installation anchored in
├── ForkedHeadError           the chain holds a head our log does not have: one of the two was rewritten
├── CallRefusedError          the contract says no, with the name of its error
├── ChainMovingError          the log is being moved to another chain, and nothing else is anchored
├── MoveRefusedError          a move to another chain that cannot be
├── RotationError             the publisher cannot be changed now
├── FeeCapError               a block costs more than this installation may pay
└── TransactionRefusedError   the node does not take the transaction
    ├── NonceSpentError       another transaction with this nonce is in the chain already
    ├── UnderpricedError      the node wants more, for the next block or for a replacement
    └── InsufficientFundsError
"""

from ledger.kernel.errors import OriginError


class ChainError(OriginError):
    """The chain, or the way to it, refuses."""

    code = "chain"


class ChainUnreachableError(ChainError):
    """No answer from the JSON-RPC door. Trying again later is right; nothing was decided."""

    code = "chain_unreachable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the chain does not answer: {reason}")
        self.reason = reason


class ChainFileError(ChainError):
    """The embedded chain's file is missing, damaged, or not ours."""

    code = "chain_file"


class ReadOnlyChainError(ChainError):
    """This process opened the embedded chain for reading; another one writes to it."""

    code = "chain_read_only"


class PublisherKeyError(ChainError):
    """The publisher's key file cannot be read, or others could read it too."""

    code = "publisher_key"


class SignerError(ChainError):
    """The service that signs for the publisher does not sign. Nothing was sent."""

    code = "signer"


class SignerUnreachableError(SignerError):
    """No answer from the service that signs. Trying again later is right."""

    code = "signer_unreachable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the signer does not answer: {reason}")
        self.reason = reason


class SignerRefusedError(SignerError):
    """The service that signs says no."""

    code = "signer_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the signer refused: {reason}")
        self.reason = reason


class WrongSignatureError(SignerError):
    """What the service answers is not a signature of the publisher's over what was to be signed."""

    code = "wrong_signature"


class NotDeployedError(ChainError):
    """No contract of ours is known on this chain yet."""

    code = "not_deployed"

    def __init__(self) -> None:
        super().__init__("no anchoring contract is deployed on this chain yet")


class ChainMismatchError(ChainError):
    """The chain is not the one this installation anchored in, or it answers against itself."""

    code = "chain_mismatch"


class ForkedHeadError(ChainError):
    """The chain holds a head that our log does not have: one of the two was rewritten or put back."""

    code = "forked_head"

    def __init__(self, reason: str, *, size: int, root: bytes) -> None:
        super().__init__(reason)
        self.size, self.root = size, root


class CallRefusedError(ChainError):
    """The contract says no. `name` is its error, `arguments` what it said with it."""

    code = "call_refused"

    def __init__(self, name: str, arguments: tuple[object, ...] = ()) -> None:
        super().__init__(f"the contract refused: {name}({', '.join(map(str, arguments))})")
        self.name, self.arguments = name, arguments


class ChainMovingError(ChainError):
    """The log is being moved to another chain; nothing is anchored but by the move."""

    code = "chain_moving"


class MoveRefusedError(ChainError):
    """This move to another chain cannot be, or there is none."""

    code = "move_refused"


class RotationError(ChainError):
    """The publisher cannot be changed now, or not to this key."""

    code = "rotation"


class FeeCapError(ChainError):
    """It is time, and a unit of gas costs more than this installation may pay: anchors wait."""

    code = "fee_cap"


class TransactionRefusedError(ChainError):
    """The node does not take the transaction."""

    code = "transaction_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the chain did not take the transaction: {reason}")
        self.reason = reason


class NonceSpentError(TransactionRefusedError):
    """Another transaction with this nonce is in the chain already."""

    code = "nonce_spent"


class UnderpricedError(TransactionRefusedError):
    """The node wants more: for the next block, or to put this in another transaction's place."""

    code = "underpriced"


class InsufficientFundsError(TransactionRefusedError):
    """The publisher cannot pay the fee."""

    code = "insufficient_funds"
