"""A golden day that an operator with every right sets out to falsify, and what stands outside his reach.

His: the home folder with database, files, keys, and the embedded chain. Not his: what others keep. A consumer
has saved proof files, a witness remembers, the public holds a copy of the chain. Every test works on copies.
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import inspect, text
from sqlmodel import Session, SQLModel, col, delete, select
from typer.testing import CliRunner

from api import accounts
from api.app import create_app
from api.cli import app as cli
from api.progress import anchored_head
from api.runtime import Runtime
from contracts.chain import Chain
from contracts.heads import log_id
from contracts.keys import PublisherKey
from contracts.outbox import latest_final
from ledger import log, merkle, tree
from ledger.bundle import prove
from ledger.checkpoint import LogSigner
from ledger.cosign import WitnessSigner
from ledger.errors import OtherSizeError
from ledger.kernel.clock import parse_time
from ledger.kernel.settings import Environment, Settings
from ledger.lineage import names
from ledger.log import naming_rows
from ledger.models import Checkpoint, Cosignature, Entry, Naming, Tile
from ledger.policy import Policy
from ledger.proof import Anchor, Verified, verify
from ledger.witness import Submission, Witness
from ledger.witnessed import Cosigned, Remembers, question, take
from tests.api import golden
from tests.api.golden import PACK

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "guoyuan.example/attacked-log"
NORTH = WitnessSigner("witness.example/north", b"n" * 32)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
"""A moment after everything in the golden chain."""
SAVED_AT = 40
"""Entries on the log when the first consumer saved a proof file."""


@dataclass
class World:
    """One copy of everything. `outside` is what the operator cannot touch."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    _rt: Runtime | None = field(default=None, repr=False)

    # --- the operator's ----------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def rt(self) -> Runtime:
        if self._rt is None:
            self._rt = opened(self.home)
        return self._rt

    def close(self) -> None:
        if self._rt is not None:
            self._rt.close()
            self._rt = None

    def read(self, index: int) -> bytes:
        with self.rt.db.read() as session:
            return bytes(session.exec(select(Entry.data).where(Entry.leaf_index == index)).one())

    def sql(self, statement: str, **values: Any) -> None:
        """Do something to the database that no function of ours would."""
        with self.rt.db.write() as session:
            session.execute(text(statement), values)

    def edit(self, index: int, change: Callable[[bytes], bytes]) -> str:
        """Change the bytes of one entry, and nothing else; return its event id."""
        changed = change(self.read(index))
        assert changed != self.read(index), "the attack did something"
        self.sql("UPDATE ledger_entry SET data = :data WHERE leaf_index = :index", data=changed, index=index)
        return str(json.loads(changed)["eventID"])

    def rewrite(self, change: Callable[[list[bytes]], Sequence[bytes]], *, signer: LogSigner | None = None) -> None:
        """Make the whole database agree with another history: rows, index, tree, and signed anew with his key.

        Cosignatures are erased and the outbox says what it must: nothing inside contradicts.
        """
        signer = signer or self.rt.signer
        with self.rt.db.write() as session:
            history = [bytes(data) for data in session.exec(select(Entry.data).order_by(col(Entry.leaf_index)))]
            sizes = list(session.exec(select(Checkpoint.size).order_by(col(Checkpoint.size))))
            changed = list(change(list(history)))
            assert changed != history, "the attack did something"
            for table in (Entry, Naming, Tile, Checkpoint, Cosignature):
                session.exec(delete(table))
            for name in ("ledger_witness", "ledger_disclosure", *_outbox(session)[1:]):
                session.execute(text(f"DELETE FROM {name}"))  # noqa: S608  # our own tables
            write(session, changed)
            sign(session, signer, sorted({min(size, len(changed)) for size in sizes}))
            for size in sizes:
                row = session.get(Checkpoint, size)
                values = {"size": size, "root": row.root if row else b""}
                statement = (
                    "UPDATE contracts_anchor SET root = :root WHERE size = :size"
                    if row
                    else "DELETE FROM contracts_anchor WHERE size = :size"
                )
                session.execute(text(statement), values)

    def forget_anchors(self, *, above: int) -> None:
        """Let the outbox forget what it brought into the chain beyond a size."""
        with self.rt.db.write() as session:
            for name in reversed(_outbox(session)):
                where = " WHERE size > :above" if name == "contracts_anchor" else ""
                session.execute(text(f"DELETE FROM {name}{where}"), {"above": above} if where else {})  # noqa: S608

    def anchorer_sends(self, checkpoint: Checkpoint) -> None:
        """Let the product bring a checkpoint into the chain."""
        golden.anchor(self.rt, checkpoint)

    def he_sends(self, *, size: int, root: bytes, proof: Sequence[bytes]) -> None:
        """Ask the contract to take a head, with the publisher's own key and past all of our code."""
        chain, key = self.rt.chain, PublisherKey.open(self.rt.settings)
        chain.preflight(chain.anchor_call(log_id(ORIGIN), size=size, root=root, proof=proof), sender=key.address)

    # --- what is asked of it -------------------------------------------------------------------------

    def fsck(self, *arguments: str) -> dict[str, Any]:
        """What `guoyuan fsck` says, run on the operator's machine."""
        self.close()
        self.monkeypatch.setenv("GUOYUAN_HOME", str(self.home))
        self.monkeypatch.setenv("GUOYUAN_LOG_ORIGIN", ORIGIN)
        result = CliRunner().invoke(cli, ["fsck", "--json", *arguments])
        assert result.stdout, (result.exit_code, result.stderr, result.exception)
        found: dict[str, Any] = json.loads(result.stdout)
        assert (result.exit_code == 0) is found["sound"]
        return found

    def kinds(self, *arguments: str) -> set[str]:
        """The kinds of trouble that fsck finds."""
        return {problem["kind"] for problem in self.fsck(*arguments)["problems"]}

    def prove(self, identifier: str = PACK, **more: Any) -> bytes:
        """A proof file as the operator hands it out now."""
        with self.rt.db.read() as session:
            anchor = latest_final(session, origin=ORIGIN)
            return prove(
                session, identifier, key=self.rt.signer.key, anchor=anchored_head(anchor) if anchor else None, **more
            ).encode()

    def file(self, data: bytes, name: str = "handed-out.json") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    # --- what is out of his reach ---------------------------------------------------------------------

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    @property
    def early(self) -> Path:
        """A proof file that a consumer saved when the log had SAVED_AT entries."""
        return self.outside / "early.json"

    @property
    def late(self) -> Path:
        """A proof file that another saved at the end of the day."""
        return self.outside / "late.json"

    def against_the_public_chain(self, data: bytes) -> Verified:
        """Verify a file, asking the chain that the public keeps."""
        return verify(data, log_key=self.known_key, anchor_check=self.public_answer)

    @property
    def known_key(self) -> Any:
        return verify(self.early.read_bytes()).key

    @property
    def contract(self) -> str:
        anchor = verify(self.early.read_bytes()).anchor
        assert anchor is not None
        return anchor.contract

    def public_answer(self, anchor: Anchor) -> bool:
        chain = Chain.embedded(self.outside / "chain.db", read_only=True)
        try:
            held = {(head.size, head.root) for head in chain.history(log_id(ORIGIN))}
            return chain.address == anchor.contract and (anchor.size, base64.b64decode(anchor.root)) in held
        finally:
            chain.close()

    @property
    def witness(self) -> Witness:
        return witness_in(self.outside, self.known_key)

    def policy(self) -> Policy:
        """What a careful verifier demands: this log, and the witness's word."""
        return Policy.parse(f"log {self.known_key.text()}\nwitness north {NORTH.key.text()}\nquorum north\n".encode())


def opened(home: Path) -> Runtime:
    """The installation in a folder, its clock on the day of the attack."""
    settings = Settings(
        home=home, environment=Environment.DEMO, public_url="http://testserver", mqtt_port=0, log_origin=ORIGIN
    )
    home.mkdir(exist_ok=True)
    if settings.clock.is_still_real:  # type: ignore[attr-defined]  # the demonstration's clock
        settings.clock.move_to(NOW)  # type: ignore[attr-defined]
    return Runtime.open(settings)


def _outbox(session: Session) -> list[str]:
    """The tables of the anchors, the anchors' own first."""
    names_ = inspect(session.connection()).get_table_names()
    return ["contracts_anchor", *(n for n in names_ if n.startswith("contracts_") and n != "contracts_anchor")]


def witness_in(folder: Path, key: Any) -> Witness:
    return Witness(folder / "witness.db", NORTH, [key], clock=lambda: int(NOW.timestamp()))


def cosign(rt: Runtime, who: Witness) -> None:
    """Ask the witness for its word on the newest checkpoint, and keep it."""
    with rt.db.write() as session:
        asked = question(session, who.key, now=rt.clock.now())
        while asked is not None:
            try:
                answer: Any = Cosigned(who.add_checkpoint(asked.body))
            except OtherSizeError as error:
                answer = Remembers(error.size)
            asked = take(session, asked, answer, now=rt.clock.now())


def submission(session: Session, old_size: int) -> bytes:
    """What the log would send the witness for its newest checkpoint."""
    newest = log.latest_checkpoint(session)
    assert newest is not None
    path = tree.consistency(session, old_size, newest.size) if old_size <= newest.size else []
    return Submission(min(old_size, newest.size), tuple(path), newest.note).encode()


def write(session: Session, history: Sequence[bytes]) -> None:
    """Write a history as if it had always been that."""
    for index, data in enumerate(history):
        event = json.loads(data)
        entry = Entry(
            event_id=event["eventID"],
            is_declaration="errorDeclaration" in event,
            sentence=event.get("gy:sentence", ""),
            event_type=event["type"],
            event_time=parse_time(event["eventTime"]),
            record_time=parse_time(event["recordTime"]),
            data=data,
            leaf_index=index,
        )
        session.add(entry)
        session.flush()
        for row in naming_rows(entry.id, entry.sentence, entry.event_time, names(event)):
            identifier, sentence, _, entry_id, roles = row
            session.add(
                Naming(
                    identifier=identifier,
                    sentence=sentence,
                    event_time=entry.event_time,
                    entry_id=entry_id,
                    roles=roles,
                )
            )
    session.flush()
    tree.append(session, 0, [merkle.leaf_hash(data) for data in history])


def sign(session: Session, signer: LogSigner, sizes: Sequence[int]) -> None:
    """Sign heads of these sizes, as if it had always been so."""
    previous = 0
    for size in sizes:
        root = tree.root(session, size)
        note = signer.sign(size, root)
        session.add(
            Checkpoint(
                size=size, previous_size=previous, root=root, note=note, signed_at=datetime(2026, 5, 1, tzinfo=UTC)
            )
        )
        previous = size
    session.flush()


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The day as it was: two checkpoints, both anchored and cosigned, and what others saved of it."""
    folder = tmp_path_factory.mktemp("honest")
    rt = opened(folder / "home")
    create_app(runtime=rt)  # imports every table
    SQLModel.metadata.create_all(rt.db.engine)
    events = golden.furnish(rt.files, hours=12).events
    outside = folder / "outside"
    outside.mkdir()
    who = witness_in(outside, rt.signer.key)
    for start, end, name in ((0, SAVED_AT, "early.json"), (SAVED_AT, len(events), "late.json")):
        with rt.db.write() as session:
            latest = datetime(2026, 1, 1, tzinfo=UTC)
            for event in events[start:end]:
                declared = event.error_declaration
                told = parse_time(declared.declaration_time if declared else event.event_time) + timedelta(seconds=2)
                latest = max(latest, told)
                log.record(session, event, now=latest)
            if not start:
                accounts.set_name(session, golden.COOPERATIVE, "Sample cooperative")
            log.integrate(session)
            checkpoint = log.publish(session, rt.signer, now=rt.clock.now())
        assert checkpoint is not None
        golden.anchor(rt, checkpoint)
        cosign(rt, who)
        if not start:
            rt.close()
            shutil.copytree(folder / "home", folder / "earlier")
            rt = opened(folder / "home")
        with rt.db.read() as session:
            anchor = latest_final(session, origin=ORIGIN)
            assert anchor is not None
            (outside / name).write_bytes(prove(session, PACK, key=rt.signer.key, anchor=anchored_head(anchor)).encode())
    rt.close()
    for path in (folder / "home").glob("chain.*"):
        shutil.copy(path, outside)
    return folder


@pytest.fixture
def world(honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A copy of the honest day to falsify."""
    shutil.copytree(honest, tmp_path / "world")
    made = World(tmp_path / "world", monkeypatch)
    yield made
    made.close()


def in_node(file: Path, key: str) -> tuple[bool, str]:
    """What the browser's verifier says of a proof file, run by Node."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    script = f"""
      import {{ readFileSync }} from "node:fs";
      import {{ verify }} from "{ROOT}/api/web/shared/static/verify/index.js";
      const say = (holds, why) => console.log(JSON.stringify([holds, why]));
      try {{ verify(readFileSync("{file}"), {{ logKey: {json.dumps(key)} }}); say(true, ""); }}
      catch (error) {{ say(false, error.message); }}
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    holds, why = msgspec.json.decode(done.stdout)
    return bool(holds), str(why)
