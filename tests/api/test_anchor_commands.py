"""What anchoring costs and whose key anchors, as an operator asks for it; and what status and metrics say."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner, Result

from api import apply as setup_files
from api.anchoring import anchoring
from api.cli import app
from api.cost_plot import Line, chart
from api.migrations import migrate
from api.runtime import Runtime
from contracts import outbox, trouble
from contracts.errors import ChainUnreachableError
from contracts.models import Anchor, AnchorState
from ledger import log
from ledger.kernel.settings import DEFAULT_PASSPHRASE, Settings
from tests.api.commanding import own_home
from tests.api.test_apply import COOP


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = own_home(tmp_path, monkeypatch)
    migrate(Settings(home=home, mqtt_port=0))
    return home


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture
def anchored(home: Path, tmp_path: Path) -> Path:
    """A cooperative whose first entries are anchored on the embedded chain."""
    file = tmp_path / "coop.toml"
    file.write_text(COOP)
    rt = Runtime.open(Settings(home=home, mqtt_port=0))
    try:
        with rt.db.write() as session:
            setup_files.apply(
                session, setup_files.read(file), settings=rt.settings, numbering=rt.numbering, now=rt.clock.now()
            )
        with rt.db.write() as session:
            log.integrate(session)
            log.publish(session, rt.signer, now=rt.clock.now())
        rt.anchorer.tend(rt.db, outbox.policy_of(rt.settings), now=rt.clock.now())
    finally:
        rt.close()
    return home


def test_costs_before_the_first_anchor_and_after_it(anchored: Path, tmp_path: Path) -> None:
    found = as_json("chain", "costs")
    assert found["total"]["anchors"] == 1
    assert found["total"]["events"] > 0
    assert found["total"]["gas_per_event"] == found["total"]["gas"] / found["total"]["events"]
    assert found["total"]["gas_of_other_ways"]["transaction_per_event"] == 45_170 * found["total"]["events"]
    assert len(found["days"]) == 1
    drawing = tmp_path / "costs.svg"
    said = run("chain", "costs", "--plot", str(drawing)).stdout
    assert "times as much" in said
    ET.fromstring(drawing.read_text())  # noqa: S314  # our own drawing
    assert run("chain", "costs", "--plot", str(tmp_path / "costs.png"), code=2).stderr.count("\n") == 1


def test_costs_of_nothing() -> None:
    assert as_json("chain", "costs") == {
        "total": {
            "anchors": 0, "events": 0, "gas": 0, "fee_wei": 0, "gas_per_event": None, "wei_per_event": None,
            "gas_of_other_ways": {"transaction_per_event": 0, "two_slot_store": 0, "timestamp_of_a_root": 0},
        },
        "days": [],
    }  # fmt: skip
    assert "nothing is anchored yet" in run("chain", "costs").stdout


def test_the_publisher_hands_over_to_a_key_made_here(anchored: Path) -> None:
    before = as_json("chain", "publisher", "show")
    assert before["publisher"] == before["our_key"]
    assert before["offered_to"] is None
    offered = as_json("chain", "publisher", "propose")["offered_to"]
    assert as_json("chain", "publisher", "show")["next_key"] == offered
    accepted = as_json("chain", "publisher", "accept")
    assert accepted["publisher"] == offered
    assert Path(accepted["kept"]).name == f"publisher-{before['publisher']}.key"
    after = as_json("chain", "publisher", "show")
    assert (after["publisher"], after["our_key"], after["next_key"]) == (offered, offered, None)


def test_a_key_is_sealed_under_a_passphrase_of_its_own(
    anchored: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GUOYUAN_KEYSTORE_PASSPHRASE", "a passphrase of its own")
    run("chain", "publisher", "propose", "0x" + "11" * 20, code=2)  # sealed under another
    run("chain", "publisher", "seal")
    run("chain", "publisher", "propose", "0x" + "11" * 20)
    old = tmp_path / "old"
    old.write_text("a passphrase of its own\n")
    monkeypatch.setenv("GUOYUAN_KEYSTORE_PASSPHRASE", DEFAULT_PASSPHRASE)
    assert as_json("chain", "publisher", "seal", "--old-passphrase-file", str(old))["address"].startswith("0x")
    run("chain", "publisher", "seal", "--old-passphrase-file", str(old), code=2)


def test_status_tells_sent_included_and_final_apart(anchored: Path) -> None:
    rt = Runtime.open(Settings(home=anchored, mqtt_port=0))
    try:
        now, origin = rt.clock.now(), rt.settings.log_origin
        with rt.db.write() as session:
            final = outbox.anchors(session, origin=origin)[0]
            for more, state in ((10, AnchorState.INCLUDED), (20, AnchorState.BROADCAST)):
                session.add(
                    Anchor(
                        log_origin=origin, size=final.size + more, root=b"\1" * 32, previous_size=final.size,
                        chain_id=final.chain_id, contract=final.contract, sender=final.sender, state=state,
                        signed_at=now,
                    )
                )  # fmt: skip
        with pytest.raises(ChainUnreachableError), trouble.noted(rt.db, origin=origin, now=now):
            raise ChainUnreachableError("silence")
        with rt.db.read() as session:
            stands = anchoring(session, rt.settings, now=now)
        size = final.size
        assert (stands.final_size, stands.included_size, stands.sent_size) == (size, size + 10, size + 20)
        assert stands.by_state == {
            "signed": 0, "broadcast": 1, "included": 1, "final": 1, "refused": 0, "superseded": 0,
        }  # fmt: skip
        assert stands.trouble is not None
        assert (stands.trouble.code, stands.trouble.times) == ("chain_unreachable", 1)
        assert not stands.is_late
    finally:
        rt.close()


@pytest.mark.parametrize("days", [0, 1, 2, 40])
def test_a_chart_is_whole_svg_whatever_it_is_given(days: int) -> None:
    lines = [
        Line("ours & theirs", tuple(10.0 / (n + 1) for n in range(days))),
        Line("<none>", (None,) * days),
        Line("wide", tuple(1e6 * (n + 1) for n in range(days))),
    ]
    drawn = chart("Gas < fee", unit="gas", labels=[str(n) for n in range(days)], lines=lines)
    root = ET.fromstring(drawn)  # noqa: S314  # as above
    assert "NaN" not in drawn
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 2 * days
