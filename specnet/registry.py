"""Parts of one kind by name: what a recipe, a bundle or a configuration may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from specnet.errors import SpecnetError

P = TypeVar("P")


class Registry(dict[str, P]):
    """Parts by name, in the order in which they were registered.

    Parameters
    ----------
    kind
        What the parts are, for messages.
    error
        What is raised for a name that there is not.
    besides
        Further names that are understood where parts are asked for, such as one for "no part at all".

    Examples
    --------
    >>> from specnet.errors import ConfigurationError
    >>> shapes = Registry("shape", ConfigurationError)
    >>> @shapes.register("square")
    ... def square(x: float) -> float:
    ...     return x * x
    >>> shapes.find("square")(3.0)
    9.0
    >>> shapes.find("cube")
    Traceback (most recent call last):
    specnet.errors.ConfigurationError: unknown shape 'cube'; known: square
    """

    def __init__(self, kind: str, error: type[SpecnetError], *, besides: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._kind, self._error, self._besides = kind, error, besides

    def register(self, name: str) -> Callable[[P], P]:
        """Make the decorated part available under a name.

        Raises
        ------
        SpecnetError
            The kind given, when the name is another part's.
        """

        def keep(part: P) -> P:
            if self.setdefault(name, part) is not part:
                raise self._error(f"two parts of the kind {self._kind} are named {name!r}: {self[name]} and {part}")
            return part

        return keep

    def find(self, name: str) -> P:
        """Part of a name.

        Raises
        ------
        SpecnetError
            The kind given, when there is none; the message has the known names.
        """
        if name not in self:
            raise self._error(f"unknown {self._kind} {name!r}; known: {', '.join([*self._besides, *self])}")
        return self[name]
