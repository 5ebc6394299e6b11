"""Ctrl-C and SIGTERM as one exception, wherever they hit."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt at SIGINT and SIGTERM, also where a library makes another exception of it or none.

    Python runs a handler in the middle of whatever the main thread does. When that is compiled code which asks for no
    KeyboardInterrupt, such as h5py's, an error of its own or a message on stderr is all that comes out.

    Yields
    ------
    callable
        To be called now and then: raises when an interruption was swallowed.

    Raises
    ------
    KeyboardInterrupt
        At the end at the latest.
    """
    asked = False

    def interrupt(*_: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield check
        check()
    except Exception as error:
        if asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
