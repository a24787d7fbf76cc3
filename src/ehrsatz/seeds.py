"""One seed, many independent named streams.

A stream is a Philox counter-based generator whose key is a hash of the seed and of the names of who draws, so that a
new part, another order or more workers never change anybody else's draws. `uniforms` addresses draws by row: row i
gets the same numbers whether it is drawn alone, in a shard or in the whole.

References
----------
Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011, doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def _key(seed: int, names: tuple[str | int, ...]) -> NDArray[np.uint64]:
    text = "\x1f".join([str(int(seed)), *(f"{type(name).__name__}:{name}" for name in names)])
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8").astype(np.uint64)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the independent stream of these names under this seed.

    Parameters
    ----------
    seed
        Any integer.
    names
        Who draws, for instance ``"trees", "fit", column``; an int and its text are different names.

    Examples
    --------
    >>> stream(7, "split").integers(100) == stream(7, "split").integers(100)
    True
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, names)))


def uniforms(seed: int, *names: str | int, n: int, width: int, first: int = 0) -> NDArray[np.float64]:
    """Return `width` uniform numbers in [0, 1) for each of the rows first .. first + n - 1.

    Row i is the same whatever `first` and `n` are.

    Returns
    -------
    Array of shape (n, width).

    Examples
    --------
    >>> whole = uniforms(7, "demo", n=10, width=3)
    >>> bool((whole[4:6] == uniforms(7, "demo", n=2, width=3, first=4)).all())
    True
    """
    padded = max(4, -(-width // 4) * 4)  # Philox makes four 64-bit words per counter step
    bits = np.random.Philox(key=_key(seed, names))
    bits.advance(first * padded // 4)
    return np.random.Generator(bits).random((n, padded))[:, :width]


def addressed(
    seed: int,
    *names: str | int,
    subjects: NDArray[np.int64],
    positions: NDArray[np.int64] | None = None,
    width: int = 1,
) -> NDArray[np.float64]:
    """Return `width` uniform numbers in [0, 1) for rows addressed by subject number and position within the subject.

    Unlike `uniforms`, the rows need not be consecutive: any selection of rows gets the numbers it would get in the
    whole, so shards agree on child rows too.

    Parameters
    ----------
    seed, names
        As in `stream`.
    subjects
        Shape (R,), 0 or more.
    positions
        Shape (R,), position of the row among its subject's rows; None means 0 everywhere.
    width
        Numbers per row.

    Returns
    -------
    Array of shape (R, width).

    References
    ----------
    Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, doi:10.1145/2660193.2660195
    (the SplitMix64 finalizer, here as a hash of the address).
    """
    first, second, nowhere = _address(seed, *names)
    base = np.array(subjects).astype(np.uint64, copy=False)  # ours: everything below happens in place
    if not len(base):
        return np.zeros((0, width))
    base *= _GOLDEN
    base += first
    _mix(base)
    if positions is None:
        base ^= nowhere
    else:
        place = np.array(positions).astype(np.uint64, copy=False)
        place *= _GOLDEN
        place += second
        base ^= _mix(place)
    _mix(base)
    if width == 1:
        base += _GOLDEN
        words = base[:, None]
    else:
        words = base[:, None] + _steps(width)[None, :]  # (R,) -> (R, width)
    _mix(words)
    words >>= _DROPPED
    numbers = words.astype(np.float64)
    numbers *= 2.0**-53
    return numbers


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST, _DROPPED = np.uint64(31), np.uint64(11)


@lru_cache(maxsize=16_384, typed=True)  # 1 and np.int64(1) are different names
def _address(seed: int, *names: str | int) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return the two words of a key, and what position 0 is mixed to."""
    key = _key(seed, names)
    return key[0], key[1], _mix(key[1:].copy())[0]


@lru_cache(maxsize=64)
def _steps(width: int) -> NDArray[np.uint64]:
    return np.arange(1, width + 1, dtype=np.uint64) * _GOLDEN


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble words in place."""
    moved = np.empty_like(words)
    for shift, factor in _ROUNDS:
        np.right_shift(words, shift, out=moved)
        words ^= moved
        words *= factor
    np.right_shift(words, _LAST, out=moved)
    words ^= moved
    return words
