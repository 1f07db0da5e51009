"""Vector files that do not repeat themselves: a text is written as parts, a file as changes to another case's file.

A *text* is a string, or a list of parts, each a string or `[unit, count]`. A case has its `file` as a text, as
`file_base64` where it is no text, or as `like` (the description of an earlier case) and `splices`: from the end of
that case's bytes backward, `[at, gone, text]` takes `gone` bytes away at `at` and puts the text there.
"""

import base64
import re
from collections.abc import Callable, Collection, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import Any

Case = dict[str, Any]

_RUN = re.compile(r"(.{1,48}?)\1{15,}", re.DOTALL)
_CHUNKS = re.compile(rb'(?=\{"data":)|(?<=\}),')
_TOKENS = re.compile(rb"[A-Za-z0-9_./-]+|.", re.DOTALL)
_WORTH = 200
"""A text shorter than this is simply written."""


# --- reading --------------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Return a text that may be written as parts."""
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in value)


def files_of(cases: Sequence[Case]) -> list[bytes]:
    """Return the bytes of every case's file."""
    files: dict[str, bytes] = {}
    for case in cases:
        if "like" in case:
            data = files[case["like"]]
            for at, gone, new in case["splices"]:
                put = base64.b64decode(new["base64"]) if isinstance(new, dict) else text_of(new).encode()
                data = data[:at] + put + data[at + gone :]
        elif "file" in case:
            data = text_of(case["file"]).encode()
        else:
            data = base64.b64decode(case["file_base64"])
        files[case["description"]] = data
    return [files[case["description"]] for case in cases]


# --- writing --------------------------------------------------------------------------------------


def parts_of(text: str) -> Any:
    """Return a text, as parts where something in it repeats."""
    if len(text) < _WORTH:
        return text
    parts: list[Any] = []
    at = 0
    for run in _RUN.finditer(text):
        parts += [text[at : run.start()], [run[1], len(run[0]) // len(run[1])]]
        at = run.end()
    parts.append(text[at:])
    parts = [part for part in parts if part]
    return text if len(parts) == 1 and isinstance(parts[0], str) else parts


def compacted(cases: Sequence[Case], whole: Collection[str]) -> list[Case]:
    """Return the cases with their files written as changes to one of those that stay whole, where that is shorter."""
    bases: dict[str, bytes] = {}
    written = []
    for case in cases:
        data = base64.b64decode(case["file_base64"]) if "file_base64" in case else case["file"].encode()
        rest = {name: value for name, value in case.items() if name not in {"file", "file_base64"}}
        plain = {"file_base64": case["file_base64"]} if "file_base64" in case else {"file": parts_of(case["file"])}
        near = _nearest(bases, data)
        spliced = _spliced(data, near, bases[near]) if near and len(data) >= _WORTH else plain
        if case["description"] in whole:
            bases[case["description"]], spliced = data, plain
        written.append({**rest, **min(plain, spliced, key=_length)})
    return written


def _nearest(bases: dict[str, bytes], data: bytes) -> str | None:
    """Return the base that shares the most with some bytes."""

    def shared(name: str) -> int:
        return sum(_ends(bases[name], data)) - abs(len(bases[name]) - len(data))

    return max(bases, key=shared, default=None)


def _ends(old: bytes, new: bytes) -> tuple[int, int]:
    """Return how many bytes two texts share at the front and, beyond those, at the back."""
    most = min(len(old), len(new))
    front = _longest(most, lambda n: old[:n] == new[:n])
    back = _longest(most - front, lambda n: not n or old[-n:] == new[-n:])
    return front, back


def _longest(most: int, holds: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` for which something holds that holds for every smaller one."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _spliced(data: bytes, name: str, base: bytes) -> Case:
    splices: list[Any] = []
    for at, gone, put in _changes(base, data):
        try:
            new: Any = parts_of(put.decode())
        except UnicodeDecodeError:
            new = {"base64": base64.b64encode(put).decode()}
        splices.append([at, gone, new])
    return {"like": name, "splices": splices[::-1]}


def _changes(old: bytes, new: bytes) -> list[tuple[int, int, bytes]]:
    """Return the places where two texts differ: entries first, then words within what is left."""
    found = []
    for at, gone, put in _matched(old, new, _CHUNKS):
        inner = _matched(old[at : at + gone], put, _TOKENS) if gone and put and gone + len(put) < 6_000 else None
        found += [(at + a, g, p) for a, g, p in inner] if inner else [(at, gone, put)]
    return found


def _matched(old: bytes, new: bytes, pattern: re.Pattern[bytes]) -> list[tuple[int, int, bytes]]:
    front, back = _ends(old, new)
    rows = [_rows(text[front : len(text) - back], pattern) for text in (old, new)]
    starts = [0, *accumulate(map(len, rows[0]))]
    codes = (
        SequenceMatcher(None, *rows, autojunk=False).get_opcodes()
        if all(rows)
        else [("replace", 0, len(rows[0]), 0, len(rows[1]))]
    )
    return [
        (front + starts[i], starts[j] - starts[i], b"".join(rows[1][k:m]))
        for code, i, j, k, m in codes
        if code != "equal" and (starts[j] > starts[i] or m > k)
    ]  # fmt: skip


def _rows(text: bytes, pattern: re.Pattern[bytes]) -> list[bytes]:
    """Return a text cut at every match of a pattern, nothing left away."""
    if pattern is _TOKENS:
        return pattern.findall(text)
    cuts = sorted({0, len(text), *(match.start() for match in pattern.finditer(text))})
    return [text[a:b] for a, b in pairwise(cuts)]


def _length(value: Any) -> int:
    return len(repr(value))
