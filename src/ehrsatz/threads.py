"""One thread for linear algebra and boosting, whatever the machine has.

More threads add sums in another order, which changes last bits, and cost more than they save on tables of this size.
Linear algebra has one limit for the whole process: the first to enter sets it, the last to leave gives the libraries
back what they had. OpenMP, under boosting and nearest neighbours, has one for each thread that calls it: everybody who
enters sets it for himself. So threads of our own may enter side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

_guard = Lock()
_held: list[Any] = []  # the limiter of the first, and one entry for each further holder


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the libraries' own pools to one thread, and give them back what they had."""
    # a limit does not reach libraries that are loaded after it was set
    import sklearn.ensemble  # noqa: F401 - brings OpenMP and SciPy's linear algebra
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with _guard:
        _held.append(None if _held else threadpool_limits(limits=1, user_api="blas"))
    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            yield
    finally:
        with _guard:
            if len(_held) == 1:
                _held.pop().restore_original_limits()
            else:
                _held.remove(None)
