"""Sizes of padded batches."""

from __future__ import annotations

import pytest

from gateway.engines.padding import batch_sizes, padded_size, portions


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (48, (1, 2, 4, 8, 16, 32, 48)), (4, (1, 2, 4))]
)
def test_sizes_are_powers_of_two_up_to_the_largest_batch(largest: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(largest) == sizes


@pytest.mark.parametrize("largest", [1, 2, 3, 7, 8, 48, 64, 100])
def test_every_batch_fits_into_the_next_size_and_wastes_less_than_half_of_it(largest: int) -> None:
    sizes = batch_sizes(largest)
    for n in range(1, largest + 1):
        size = padded_size(n, sizes)
        assert size in sizes
        assert n <= size <= min(2 * n - 1, largest) or n == size
    assert padded_size(largest + 1, sizes) == largest


def test_portions_cover_all_rows_once() -> None:
    rows = [row for part in portions(150, 64) for row in range(part.start, part.stop)]
    assert rows == list(range(150))
    assert [part.stop - part.start for part in portions(150, 64)] == [64, 64, 22]
    assert [part.stop - part.start for part in portions(64, 64)] == [64]
