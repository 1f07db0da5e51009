"""Python's recursion limit, kept where it was.

py_ecc, which web3 and the EVM bring, lifts it to 100,000: a deeply nested JSON body would then run over the
C stack and take the whole process with it. Our contract calls one level deep.
"""

import sys
from typing import Final

RECURSION_LIMIT: Final = 3000


def keep_recursion_limit() -> None:
    """Put the limit back where a deep body is a RecursionError; called after such an import."""
    if sys.getrecursionlimit() > RECURSION_LIMIT:
        sys.setrecursionlimit(RECURSION_LIMIT)
