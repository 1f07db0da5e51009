"""Writes the vectors that Python, JavaScript and Solidity share. Deterministic: running it again changes nothing.

    python tests/vectors/generate.py          # write the files
    python tests/vectors/generate.py --check  # exit 1 if a file would change

Most cases must fail: each is one way to be wrong.
"""

# ruff: noqa: PLR0917, T201  # cases read best in the order of the RFC; this is a program

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

from ledger import merkle  # noqa: E402  # found through the line above

Case = dict[str, Any]

SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 21, 32, 33, 63, 64, 65)
LEAVES = [merkle.leaf_hash(f"guoyuan sample leaf {i}".encode()) for i in range(65)]
ZERO = bytes(32)


def flip(data: bytes, bit: int = 0) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


# --- RFC 9162 ------------------------------------------------------------------------------------


def inclusion() -> Iterator[Case]:
    """Yield inclusion proofs: every leaf of some trees, and the ways to break one."""

    def case(description: str, m: int, n: int, leaf: bytes, path: list[bytes], root: bytes, *, ok: bool) -> Case:
        return {
            "description": description,
            "index": m,
            "size": n,
            "leaf": leaf.hex(),
            "root": root.hex(),
            "proof": [p.hex() for p in path],
            "ok": ok,
        }

    for n in SIZES[1:]:
        root = merkle.root(LEAVES[:n])
        for m in sorted({0, 1, n // 2, n - 2, n - 1} & set(range(n))):
            path = merkle.prove_inclusion(m, LEAVES[:n])
            yield case(f"leaf {m} of {n}", m, n, LEAVES[m], path, root, ok=True)
    for m, n in ((0, 1), (2, 7), (6, 7), (8, 9), (20, 33), (63, 64)):
        leaf, root, path = LEAVES[m], merkle.root(LEAVES[:n]), merkle.prove_inclusion(m, LEAVES[:n])
        yield case(f"{m}/{n}: one bit of the leaf flipped", m, n, flip(leaf, 9), path, root, ok=False)
        yield case(f"{m}/{n}: one bit of the root flipped", m, n, leaf, path, flip(root, 255), ok=False)
        yield case(f"{m}/{n}: root of the empty tree", m, n, leaf, path, merkle.EMPTY_ROOT, ok=False)
        yield case(f"{m}/{n}: trailing garbage", m, n, leaf, [*path, ZERO], root, ok=False)
        yield case(f"{m}/{n}: preceding garbage", m, n, leaf, [ZERO, *path], root, ok=False)
        yield case(f"{m}/{n}: the index is the size", n, n, leaf, path, root, ok=False)
        yield case(f"{m}/{n}: empty tree", m, 0, leaf, path, root, ok=False)
        yield case(f"{m}/{n}: twice the size", m, 2 * n, leaf, path, root, ok=False)
        if n > 1:
            yield case(f"{m}/{n}: the index of the neighbour", m ^ 1, n, leaf, path, root, ok=False)
            yield case(f"{m}/{n}: truncated", m, n, leaf, path[:-1], root, ok=False)
            yield case(f"{m}/{n}: beheaded", m, n, leaf, path[1:], root, ok=False)
            yield case(f"{m}/{n}: no path", m, n, leaf, [], root, ok=False)
            yield case(f"{m}/{n}: root claimed as leaf", m, n, root, [], root, ok=False)
            for i in range(len(path)):
                broken = [*path[:i], flip(path[i], 8 * i), *path[i + 1 :]]
                yield case(f"{m}/{n}: one bit of hash {i} flipped", m, n, leaf, broken, root, ok=False)
        if len(path) > 1:
            yield case(f"{m}/{n}: path reversed", m, n, leaf, path[::-1], root, ok=False)
    # An inner node must not pass for a leaf: the 0x00 and 0x01 prefixes see to it.
    inner = merkle.node_hash(LEAVES[0], LEAVES[1])
    root = merkle.root(LEAVES[:4])
    path = [merkle.node_hash(LEAVES[2], LEAVES[3])]
    yield case("an inner node passed off as leaf 0 of 2", 0, 2, merkle.leaf_hash(inner), path, root, ok=False)


def consistency() -> Iterator[Case]:
    """Yield consistency proofs between trees of every size in SIZES, and the ways to break one."""

    def case(description: str, m: int, n: int, first: bytes, second: bytes, path: list[bytes], *, ok: bool) -> Case:
        return {
            "description": description,
            "size1": m,
            "size2": n,
            "root1": first.hex(),
            "root2": second.hex(),
            "proof": [p.hex() for p in path],
            "ok": ok,
        }

    roots = {n: merkle.root(LEAVES[:n]) for n in SIZES}
    for n in SIZES:
        for m in SIZES:
            if m <= n:
                path = merkle.prove_consistency(m, LEAVES[:n])
                yield case(f"{n} extends {m}", m, n, roots[m], roots[n], path, ok=True)
    for m, n in ((1, 2), (2, 8), (3, 7), (4, 7), (6, 7), (7, 8), (8, 9), (21, 33), (32, 64), (63, 65), (64, 65)):
        first, second, path = roots[m], roots[n], merkle.prove_consistency(m, LEAVES[:n])
        yield case(f"{m}->{n}: roots swapped", m, n, second, first, path, ok=False)
        yield case(f"{m}->{n}: sizes swapped", n, m, first, second, path, ok=False)
        yield case(f"{m}->{n}: one bit of the first root flipped", m, n, flip(first, 7), second, path, ok=False)
        yield case(f"{m}->{n}: one bit of the second root flipped", m, n, first, flip(second, 248), path, ok=False)
        yield case(f"{m}->{n}: no proof", m, n, first, second, [], ok=False)
        yield case(f"{m}->{n}: truncated", m, n, first, second, path[:-1], ok=False)
        yield case(f"{m}->{n}: beheaded", m, n, first, second, path[1:], ok=False)
        yield case(f"{m}->{n}: trailing garbage", m, n, first, second, [*path, ZERO], ok=False)
        yield case(f"{m}->{n}: preceding garbage", m, n, first, second, [ZERO, *path], ok=False)
        yield case(f"{m}->{n}: the first root put in front", m, n, first, second, [first, *path], ok=False)
        yield case(f"{m}->{n}: the first size one too small", m - 1, n, first, second, path, ok=False)
        yield case(f"{m}->{n}: the second root is the first", m, n, first, first, path, ok=False)
        yield case(f"{m}->{n}: a forged root with its own proof", m, n, first, *_fork(m, n), ok=False)
        if len(path) > 1:
            yield case(f"{m}->{n}: reversed", m, n, first, second, path[::-1], ok=False)
        for i in range(len(path)):
            broken = [*path[:i], flip(path[i], 31 * i), *path[i + 1 :]]
            yield case(f"{m}->{n}: one bit of hash {i} flipped", m, n, first, second, broken, ok=False)
    yield case("0->5: a proof where none may be", 0, 5, roots[0], roots[5], [ZERO], ok=False)
    yield case("0->5: a first root that is not the empty tree's", 0, 5, ZERO, roots[5], [], ok=False)
    yield case("5->5: a proof where none may be", 5, 5, roots[5], roots[5], [roots[5]], ok=False)
    yield case("5->5: two roots", 5, 5, roots[5], flip(roots[5]), [], ok=False)


def _fork(m: int, n: int) -> tuple[bytes, list[bytes]]:
    """A tree that rewrote its first leaf, with a proof that is honest about the rewritten tree."""
    forked = [merkle.leaf_hash(b"rewritten"), *LEAVES[1:n]]
    return merkle.root(forked), merkle.prove_consistency(m, forked)


FILES: dict[str, Callable[[], Iterator[Case]]] = {"inclusion.json": inclusion, "consistency.json": consistency}


def rendered(name: str) -> str:
    """Return what a vector file must hold: one case per line."""
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, sort_keys=True) for case in FILES[name]())
    return f"[\n{lines}\n]\n"


def main() -> int:
    """Write or check every file."""
    stale = [name for name in FILES if not _holds(FOLDER / name, rendered(name))]
    if "--check" in sys.argv:
        print("\n".join(f"{name} is not what generate.py writes" for name in stale) or "all vectors are as generated")
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(rendered(name), encoding="ascii")
    print(f"wrote {', '.join(stale) or 'nothing new'}")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="ascii") == text


if __name__ == "__main__":
    sys.exit(main())
