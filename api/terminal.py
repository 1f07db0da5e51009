"""What every command shares: how refusals end, JSON, tables, an opened installation."""

import functools
import json
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, ParamSpec

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from api.runtime import Runtime
    from ledger.flow import Amount

OK: Final = 0
WRONG: Final = 1
"""Something was found wrong, or does not verify."""
BAD_INPUT: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
UNREAD: Final = 141
"""Whoever read what a command prints has stopped: what a shell tells of programs that end by SIGPIPE."""

_UNREACHABLE_CODES: Final = frozenset({"chain_unreachable", "chain_file", "signer_unreachable", "transport"})

P = ParamSpec("P")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def command(group: typer.Typer, name: str | None = None) -> Callable[[Callable[P, int | None]], Callable[P, NoReturn]]:
    """Register a command whose expected refusals end as one line on standard error and an exit code."""

    def register(work: Callable[P, int | None]) -> Callable[P, NoReturn]:
        @group.command(name)
        @functools.wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
            try:
                code = work(*args, **kwargs) or OK
            except KeyboardInterrupt:
                code = INTERRUPTED
            except Exception as error:
                expected = exit_code(error)
                if expected is None:
                    raise
                if expected != UNREAD:
                    typer.echo(f"guoyuan: {_one_line(error)}", err=True)
                code = expected
            raise typer.Exit(code)

        return run

    return register


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an expected refusal, or None for a surprise."""
    from sqlalchemy.exc import DatabaseError

    from ledger.errors import LogInconsistentError, UnknownIdentifierError, VerificationError
    from ledger.kernel.errors import OriginError

    if isinstance(error, VerificationError | UnknownIdentifierError | LogInconsistentError):
        return WRONG
    if isinstance(error, OriginError):
        return UNREACHABLE if error.code in _UNREACHABLE_CODES else BAD_INPUT
    if isinstance(error, BrokenPipeError) and _is_unread():
        return UNREAD
    if isinstance(error, ConnectionError | TimeoutError | DatabaseError):
        return UNREACHABLE
    return BAD_INPUT if isinstance(error, OSError) else None


def _is_unread() -> bool:
    """Whether nobody reads what is printed any more, as behind `| head`; then nothing more is."""
    output = select.poll()
    output.register(sys.stdout.fileno(), select.POLLERR)
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _one_line(error: Exception) -> str:
    from sqlalchemy.exc import DatabaseError

    text = str(error.orig if isinstance(error, DatabaseError) else error)
    if isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, DatabaseError) and ("no such table" in text or "does not exist" in text):
        text = "the database has no tables yet; run: guoyuan migrate"
    return " ".join(text.split())


def print_json(document: Any) -> None:
    """Print one JSON document."""
    from pydantic_core import to_jsonable_python

    typer.echo(json.dumps(to_jsonable_python(document), ensure_ascii=False, indent=2))


def say(*things: Any) -> None:
    """Print for a person."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True, markup=False).print(*things)


def table(*columns: str) -> "Table":
    """Return an empty table."""
    from rich import box
    from rich.table import Table

    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)


@contextmanager
def bar(what: str, *, is_shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far long work has come, on standard error and only to a person."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not is_shown or not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def grams_text(amount: "Amount") -> str:
    """Return `4560`, `1000 to 5000` or `unknown`."""
    if amount.most is None:
        return f"at least {amount.least}" if amount.least else "unknown"
    return str(amount.least) if amount.is_exact else f"{amount.least} to {amount.most}"


@contextmanager
def installation(*, reads_chain_only: bool = False) -> Iterator["Runtime"]:
    """Open the installation that the environment names, for as long as the block lasts."""
    from api.runtime import Runtime
    from ledger.kernel.settings import Settings

    rt = Runtime.open(Settings.load(), reads_chain_only=reads_chain_only)
    try:
        yield rt
    finally:
        rt.close()
