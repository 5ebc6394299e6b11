"""A process that is interrupted in one of several ways; says what came of it. Its only argument names the way."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from specnet.demo.interruption import interruptible


def be_interrupted(number: signal.Signals = signal.SIGINT) -> None:
    """Send a signal to this process."""
    signal.raise_signal(number)
    raise AssertionError("the signal comes first")


def make_another_error_of_it() -> None:
    """Do as some libraries do."""
    try:
        be_interrupted()
    except KeyboardInterrupt:
        raise TypeError("operation not defined") from None


def swallow_it() -> None:
    """Do as others do."""
    try:
        be_interrupted()
    except KeyboardInterrupt:
        return


def ask() -> None:
    """Find a swallowed interruption before the end."""
    with interruptible() as check:
        check()
        swallow_it()
        try:
            check()
        except KeyboardInterrupt:
            sys.stdout.write("found when asked\n")


def raise_another() -> None:
    """Fail without a signal."""
    raise ValueError("as it was")


WAYS: dict[str, Callable[[], object]] = {
    "SIGINT": lambda: be_interrupted(signal.SIGINT),
    "SIGTERM": lambda: be_interrupted(signal.SIGTERM),
    "another error": make_another_error_of_it,
    "swallowed": swallow_it,
    "asked": ask,
    "no signal": raise_another,
}


def main(way: str) -> None:
    """Go one way."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with interruptible():
            WAYS[way]()
        sys.stdout.write("nothing\n")
    except BaseException as error:
        sys.stdout.write(f"{type(error).__name__} {type(error.__cause__).__name__}\n")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


if __name__ == "__main__":
    main(sys.argv[1])
