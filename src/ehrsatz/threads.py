"""One thread for linear algebra and boosting, whatever the machine has.

More threads add sums in another order, which changes last bits, and cost more than they save on tables of this size.
The limit holds for the whole process while it is set: whoever starts threads of its own sets it around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the libraries' own pools to one thread, and give them back what they had."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        yield
