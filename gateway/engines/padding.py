"""Batch sizes that repeat.

A GPU wants the same shapes again and again: kernels are chosen, and graphs captured, for one shape. So a batch is
filled up to the next size of a short list; the rows that fill it up are computed and thrown away.

Legend: n requests.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator


def batch_sizes(largest: int) -> tuple[int, ...]:
    """Powers of two below `largest`, and `largest` itself, ascending.

    Examples
    --------
    >>> batch_sizes(48)
    (1, 2, 4, 8, 16, 32, 48)
    """
    return (*(1 << power for power in range((largest - 1).bit_length())), largest)


def padded_size(n: int, sizes: tuple[int, ...]) -> int:
    """Smallest of ascending sizes that holds n requests; the largest when none does."""
    return sizes[min(bisect_left(sizes, n), len(sizes) - 1)]


def portions(n: int, largest: int) -> Iterator[slice]:
    """Cut n rows into slices of at most `largest`."""
    return (slice(start, min(start + largest, n)) for start in range(0, n, largest))
