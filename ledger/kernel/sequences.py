"""Running numbers for the documents we issue: pick order 0001, 0002, ..."""

from sqlmodel import Field, Session, SQLModel, select


class Sequence(SQLModel, table=True):
    """The last number given out under a name."""

    __tablename__ = "sequence"

    name: str = Field(primary_key=True, max_length=80)
    value: int = 0


def next_number(session: Session, name: str) -> int:
    """Return the next number under a name, from 1. Locks the row until the transaction ends.

    A rolled-back transaction gives its numbers back, so nothing may leave before commit.
    """
    row = session.exec(select(Sequence).where(Sequence.name == name).with_for_update()).one_or_none()
    if row is None:
        row = Sequence(name=name)
    row.value += 1
    session.add(row)
    session.flush()
    return row.value
