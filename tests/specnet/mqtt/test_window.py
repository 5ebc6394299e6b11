"""The bounded flow towards the broker."""

from __future__ import annotations

import threading

from specnet.mqtt.window import MAX_WAITING, MAX_WAITING_BYTES, Admission, Outgoing, SendWindow


def _message(name: str = "t", size: int = 1) -> Outgoing:
    return Outgoing(name, bytes(size), 1, retain=False)


def test_what_exceeds_the_window_waits_in_order() -> None:
    window = SendWindow(2)
    assert [window.admit(_message(name)) for name in "abcd"] == [Admission.SEND] * 2 + [Admission.WAIT] * 2
    assert window.outstanding() == 4
    released = [window.release() for _ in range(4)]
    assert [message and message.topic for message in released] == ["c", "d", None, None]
    assert window.outstanding() == 0


def test_nothing_overtakes_what_waits() -> None:
    window = SendWindow(1)
    window.admit(_message("a"))
    window.admit(_message("b"))
    following = window.release()
    assert following is not None
    assert following.topic == "b"
    assert window.admit(_message("c")) is Admission.WAIT


def test_the_queue_is_bounded_in_number() -> None:
    window = SendWindow(1)
    admissions = [window.admit(_message()) for _ in range(MAX_WAITING + 2)]
    assert admissions[-2:] == [Admission.WAIT, Admission.REFUSED]


def test_the_queue_is_bounded_in_bytes_and_takes_more_when_some_are_sent() -> None:
    window = SendWindow(1)
    half = _message(size=MAX_WAITING_BYTES // 2)
    assert [window.admit(half) for _ in range(4)][1:] == [Admission.WAIT, Admission.WAIT, Admission.REFUSED]
    window.release()
    assert window.admit(half) is Admission.WAIT


def test_the_broker_can_only_narrow_the_window() -> None:
    window = SendWindow(2)
    window.limit(65_535)
    assert [window.admit(_message()) for _ in range(3)][-1] is Admission.WAIT
    narrow = SendWindow(2)
    narrow.limit(1)
    assert [narrow.admit(_message()) for _ in range(2)] == [Admission.SEND, Admission.WAIT]


def test_waiting_for_the_end_is_woken_by_the_last_release() -> None:
    window = SendWindow(1)
    window.admit(_message())
    assert not window.wait_until_empty(0.0)
    thread = threading.Thread(target=window.release)
    thread.start()
    assert window.wait_until_empty(10.0)
    thread.join()
