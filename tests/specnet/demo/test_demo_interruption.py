"""Interruptions that libraries turn into something else."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from specnet.demo.interruption import SIGNALS, interruptible


def be_interrupted(number: signal.Signals = signal.SIGINT) -> None:
    signal.raise_signal(number)
    raise AssertionError("the signal comes first")


def make_another_error_of_it() -> None:
    try:
        be_interrupted()
    except KeyboardInterrupt:
        raise TypeError("operation not defined") from None


def swallow_it() -> None:
    try:
        be_interrupted()
    except KeyboardInterrupt:
        return


def run(work: Callable[[], object]) -> None:
    with interruptible():
        work()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_keyboard_interrupt_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(lambda: be_interrupted(number))
    assert signal.getsignal(number) is before


def test_an_exception_that_a_library_made_of_it_is_one_too() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        run(make_another_error_of_it)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_swallowed_one_is_found_when_asked_and_at_the_end() -> None:
    asked_before_the_end = []

    def work() -> None:
        with interruptible() as check:
            check()
            swallow_it()
            with pytest.raises(KeyboardInterrupt):
                check()
            asked_before_the_end.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert asked_before_the_end


def test_other_errors_pass_without_a_signal() -> None:
    def work() -> None:
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        run(work)
