import json
import re

import pytest

from ledger.lookup import (
    DEVELOPMENT_CHAIN_ID,
    EMBEDDED_CHAIN_ID,
    HEAD_SELECTOR,
    Lookup,
    ask_yourself,
    currency_of,
    head_call,
    lookup_lines,
    name_of,
)

CONTRACT, TRANSACTION, ORIGIN = "0x" + "ab" * 20, "0x" + "12" * 32, "sample.example/log"


def test_a_known_chain_has_pages_of_somebody_else() -> None:
    lookup = Lookup.of(137, CONTRACT)
    assert lookup.contract_url == f"https://polygonscan.com/address/{CONTRACT}"
    assert lookup.transaction_url(TRANSACTION) == f"https://polygonscan.com/tx/{TRANSACTION}"
    assert (name_of(137), currency_of(137)) == ("Polygon", "POL")
    assert any(lookup.contract_url in line for line in lookup_lines(137, CONTRACT, ORIGIN, transaction=TRANSACTION))


def test_an_installation_may_name_an_explorer_of_its_own() -> None:
    assert (
        Lookup.of(4_242, CONTRACT, explorer="https://see.example/").contract_url
        == f"https://see.example/address/{CONTRACT}"
    )
    assert Lookup.of(1, CONTRACT, explorer="https://see.example").explorer == "https://see.example"
    assert Lookup.of(4_242, CONTRACT).transaction_url(TRANSACTION) == ""
    assert name_of(4_242) == "chain 4242"


@pytest.mark.parametrize("chain_id", [EMBEDDED_CHAIN_ID, DEVELOPMENT_CHAIN_ID])
def test_a_private_chain_is_called_one(chain_id: int) -> None:
    first, ask = lookup_lines(chain_id, CONTRACT, ORIGIN, transaction=TRANSACTION)
    assert "operator's own hands" in first
    assert "http" not in first
    assert "eth_call" in ask


def test_the_command_is_json_rpc_that_a_shell_takes_whole() -> None:
    command = ask_yourself(CONTRACT, ORIGIN, url="https://node.example")
    body = re.fullmatch(r"curl -H '[^']+' -d '([^']+)' https://node\.example", command)
    assert body is not None
    assert json.loads(body[1]) == head_call(CONTRACT, ORIGIN)


def test_the_selector_is_that_of_the_committed_contract() -> None:
    web3 = pytest.importorskip("web3").Web3
    assert "0x" + web3.keccak(text="head(bytes32)")[:4].hex() == HEAD_SELECTOR
