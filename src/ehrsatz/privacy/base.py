"""What the privacy room shares: the subject floor, and a keyed permutation of whole numbers.

The permutation is a balanced Feistel network with cycle walking: it numbers fabricated ids so that two subjects never
get the same one, in whatever shard they are made. It is no encryption: who knows the seed can undo it, and finds the
number of a synthetic subject, which says nothing about a real one.

References
----------
Black, Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002, doi:10.1007/3-540-45760-7_9 (cycle walking).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.seeds import stream

_ROUNDS = 4
_MAX_BITS = 62


def permute(numbers: NDArray[np.uint64], size: int, seed: int, *names: str | int) -> NDArray[np.uint64]:
    """Map the numbers 0 .. size - 1 one to one onto themselves, under the key of these names.

    Parameters
    ----------
    numbers
        Shape (R,), each below `size`.
    size
        Size of the domain, 1 .. 2**62.
    seed, names
        As in `ehrsatz.seeds.stream`.

    Returns
    -------
    Array of shape (R,), uint64.

    Examples
    --------
    >>> sorted(permute(np.arange(10, dtype=np.uint64), 10, 7, "demo").tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    assert 1 <= size <= 2**_MAX_BITS
    half = max(1, -(-(size - 1).bit_length() // 2))
    mask, shift = np.uint64(2**half - 1), np.uint64(half)
    keys = stream(seed, *names).integers(0, 2**63, size=_ROUNDS, dtype=np.uint64)
    out = np.asarray(numbers, dtype=np.uint64).copy()
    walking = np.arange(len(out))
    while len(walking):
        left, right = out[walking] >> shift, out[walking] & mask
        for key in keys:
            left, right = right, left ^ (_scramble(right + key) & mask)
        found = (left << shift) | right
        out[walking] = found
        walking = walking[found >= np.uint64(size)]
    return out


def _scramble(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    words = (words ^ (words >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return words ^ (words >> np.uint64(33))
