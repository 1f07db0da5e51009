"""Commands on EPCIS documents from anywhere: `guoyuan epcis validate` and `guoyuan epcis hash`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.terminal import BAD_INPUT, OK, WRONG, command, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ledger.epcis.reading import Problem

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""Larger files are refused before they are read."""

STDIN: Final = "-"

app = typer.Typer(help="EPCIS 2.0 documents in JSON-LD.", no_args_is_help=True)

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="JSON or JSON-LD documents; - is standard input.")]
AsLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, one line per file.")]
Lenient = Annotated[bool, typer.Option("--lenient", help="Also take the known deviations of real documents.")]


@command(app)
def validate(files: Files, lenient: Lenient = False, as_json: AsLines = False) -> int:
    """Say whether documents are valid EPCIS 2.0, and if not, everything that is wrong with them."""
    from ledger.epcis.profile import Profile

    profile = Profile.LENIENT if lenient else Profile.STRICT
    code = OK
    for file in files:
        data = contents(file)
        found = _problems(data, profile)
        code = max(code, BAD_INPUT if data is None else WRONG if found else OK)
        if as_json:
            errors = [{"path": problem.path, "reason": problem.reason} for problem in found]
            print_line({"file": file, "valid": not found, "errors": errors})
        elif data is not None:
            _tell(file, found)
    return code


@command(app, "hash")
def hash_events(
    files: Files,
    lenient: Lenient = False,
    with_prehash: Annotated[bool, typer.Option("--prehash", help="Show the text that is hashed, too.")] = False,
    as_json: AsLines = False,
) -> int:
    """Print the CBV 2.0 event hash of every event in documents, in order.

    What can be read and understood is hashed, valid or not; an invalid document is named on standard error. Only a
    document whose hash would be a guess is refused: not JSON, an unknown @context, something that is no event.
    """
    from ledger.epcis.cbv_hash import hash_of
    from ledger.epcis.profile import Profile

    profile = Profile.LENIENT if lenient else Profile.STRICT
    code = OK
    for file in files:
        data = contents(file)
        texts, refused, invalid = _prehashes(data, profile)
        if refused:
            code = BAD_INPUT
        if data is None:
            pass  # said already
        elif refused:
            typer.echo(f"guoyuan: {file}: {refused[0].path}: {refused[0].reason}", err=True)
        elif invalid:
            first = f"{invalid[0].path}: {invalid[0].reason}"
            typer.echo(f"guoyuan: {file}: hashed, but not valid EPCIS 2.0 ({profile}): {first}", err=True)
        if as_json:
            line: dict[str, Any] = {"file": file, "hashes": [hash_of(text) for text in texts]}
            if with_prehash:
                line["prehashes"] = texts
            if refused:
                line["errors"] = [{"path": problem.path, "reason": problem.reason} for problem in refused]
            print_line(line)
        else:
            for text in texts:
                typer.echo(f"{text}\n{hash_of(text)}" if with_prehash else hash_of(text))
    return code


def _prehashes(data: bytes | None, profile: Any) -> "tuple[list[str], Sequence[Problem], Sequence[Problem]]":
    """Return the pre-hash texts; why there are none; and what else is wrong with the document."""
    from ledger.epcis.cbv_hash import document_prehashes
    from ledger.epcis.profile import problems
    from ledger.epcis.reading import Problem, read
    from ledger.errors import DocumentError, EventError

    try:
        document = read(_whole(data))
        return document_prehashes(document), (), problems(document, profile)
    except DocumentError as error:
        return [], error.problems, ()
    except EventError as error:
        return [], [Problem(error.path, error.reason)], ()


def contents(file: str) -> bytes | None:
    """Return a file, at most one byte more than MAX_FILE_BYTES; None, and a line on standard error, if unreadable."""
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        with Path(file).open("rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        typer.echo(f"guoyuan: {file}: {error.strerror or error}", err=True)
        return None


def print_line(document: dict[str, Any]) -> None:
    """Print one JSON object on one line."""
    line = json.dumps(document, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # a file's name need not be text
        line = json.dumps(document)
    typer.echo(line)


def _problems(data: bytes | None, profile: Any) -> "Sequence[Problem]":
    from ledger.epcis.profile import problems
    from ledger.epcis.reading import read
    from ledger.errors import DocumentError

    try:
        return problems(read(_whole(data)), profile)
    except DocumentError as error:
        return error.problems


def _whole(data: bytes | None) -> bytes:
    """Return the file's bytes. Raises DocumentError where there are none, or too many."""
    from ledger.epcis.reading import Problem
    from ledger.errors import DocumentError

    if data is None:
        raise DocumentError([Problem("$", "cannot be read")])
    if len(data) > MAX_FILE_BYTES:
        raise DocumentError([Problem("$", f"is larger than {MAX_FILE_BYTES // 2**20} MiB")])
    return data


def _tell(file: str, found: "Sequence[Problem]") -> None:
    say(f"{file}: " + ("valid" if not found else f"{len(found)} problem{'s' if len(found) > 1 else ''}"))
    for line in _lines(found):
        say(line)


def _lines(found: "Sequence[Problem]") -> "Iterator[str]":
    for problem in found:
        yield f"  {problem.path}: {problem.reason}"
