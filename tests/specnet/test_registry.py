"""Parts are found by name; a name that there is not, or twice, is an error that has the names."""

from __future__ import annotations

import pytest

from specnet.errors import ConfigurationError, ModelError
from specnet.registry import Registry


@pytest.fixture
def shapes() -> Registry[type]:
    found: Registry[type] = Registry("shape", ModelError, besides=("none",))
    found.register("whole")(int)
    found.register("real")(float)
    return found


def test_parts_are_found_in_the_order_in_which_they_came(shapes: Registry[type]) -> None:
    assert list(shapes) == ["whole", "real"]
    assert shapes.find("real") is float


def test_an_unknown_name_is_told_with_the_known_ones(shapes: Registry[type]) -> None:
    with pytest.raises(ModelError, match=r"^unknown shape 'round'; known: none, whole, real$"):
        shapes.find("round")
    with pytest.raises(ConfigurationError, match=r"^unknown colour 'red'; known: $"):
        Registry("colour", ConfigurationError).find("red")


def test_no_part_takes_the_name_of_another(shapes: Registry[type]) -> None:
    assert shapes.register("real")(float) is float
    with pytest.raises(ModelError, match=r"two parts of the kind shape are named 'real': .*float.* and .*complex"):
        shapes.register("real")(complex)
    assert shapes.find("real") is float
