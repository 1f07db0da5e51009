"""Running numbers for the documents we issue: pick order 0001, 0002, ..."""

from typing import Final

from sqlalchemy import Table
from sqlmodel import Field, Session, SQLModel, select

from ledger.kernel.database import insert_into


class Sequence(SQLModel, table=True):
    """The last number given out under a name."""

    __tablename__ = "sequence"

    name: str = Field(primary_key=True, max_length=80)
    value: int = 0


_TABLE: Final[Table] = Sequence.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it


def next_number(session: Session, name: str) -> int:
    """Return the next number under a name, from 1. Locks the row until the transaction ends.

    A rolled-back transaction gives its numbers back, so nothing may leave before commit.
    """
    query = select(Sequence).where(Sequence.name == name).with_for_update()
    row = session.exec(query).one_or_none()
    if row is None:
        # Two first callers at once: the second waits here for the first instead of failing on the key.
        session.execute(insert_into(session, _TABLE).values(name=name, value=0).on_conflict_do_nothing())
        row = session.exec(query).one()
    row.value += 1
    session.add(row)
    session.flush()
    return row.value
