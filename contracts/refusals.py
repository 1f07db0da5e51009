"""What web3 raises, in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.artifacts import anchor_log
from contracts.errors import (
    CallRefusedError,
    ChainUnreachableError,
    InsufficientFundsError,
    NonceSpentError,
    TransactionRefusedError,
    UnderpricedError,
)


@contextmanager
def asking() -> Iterator[None]:
    """Translate what goes wrong while a chain is asked.

    Raises ChainUnreachableError, CallRefusedError, InsufficientFundsError.
    """
    from requests.exceptions import RequestException  # noqa: PLC0415  # loaded already where a chain is open
    from web3.exceptions import (  # noqa: PLC0415
        BadFunctionCallOutput,
        BadResponseFormat,
        ContractLogicError,
        Web3Exception,
        Web3RPCError,
    )

    try:
        yield
    except ContractLogicError as error:
        raise _refusal(error) from error
    except (RequestException, OSError, BadResponseFormat, BadFunctionCallOutput) as error:
        # The kind of failure without its text: that holds the URL, and a URL may hold an access key.
        raise ChainUnreachableError(type(error).__name__) from error
    except Web3RPCError as error:
        refusal = explain(error)
        if isinstance(refusal, InsufficientFundsError):
            raise refusal from error
        raise ChainUnreachableError(_message(error)) from error
    except (Web3Exception, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ChainUnreachableError(f"its answer cannot be read ({type(error).__name__})") from error


def explain(error: Exception) -> TransactionRefusedError | None:
    """Return what a node meant by not taking a transaction; None where it had it already."""
    text = _message(error)
    lowered = text.lower()
    if any(known in lowered for known in ("already known", "alreadyknown", "already imported", "known transaction")):
        return None
    if "nonce too low" in lowered:
        return NonceSpentError(text)
    if "underpriced" in lowered or "less than block base fee" in lowered:
        return UnderpricedError(text)
    if "insufficient funds" in lowered:
        return InsufficientFundsError(text)
    return TransactionRefusedError(text)


def _refusal(error: Exception) -> CallRefusedError:
    """Return the contract's own error behind revert data."""
    from eth_abi.abi import decode  # noqa: PLC0415  # loaded already where a chain is open
    from eth_abi.exceptions import DecodingError  # noqa: PLC0415
    from eth_utils.crypto import keccak  # noqa: PLC0415

    data = getattr(error, "data", None)
    revert = bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else b""
    for one in (one for one in anchor_log().abi if one["type"] == "error"):
        types = [argument["type"] for argument in one["inputs"]]
        if revert[:4] == keccak(text=f"{one['name']}({','.join(types)})")[:4]:
            try:
                return CallRefusedError(one["name"], decode(types, revert[4:]))
            except DecodingError:
                break
    return CallRefusedError(_message(error))


def _message(error: Exception) -> str:
    """Return what the node said, without web3's wrapping."""
    response = getattr(error, "rpc_response", None)
    if isinstance(response, dict) and isinstance(response.get("error"), dict):
        return str(response["error"].get("message", error))
    return str(getattr(error, "message", None) or error)
