"""Whether the kernel's wall clock is kept by somebody."""

from __future__ import annotations

import ctypes

TIMEX_BYTES = 512
"""More than the ``timex`` of any C library."""
NOT_SYNCHRONISED = 5
"""``TIME_ERROR`` of <sys/timex.h>."""


def synchronised() -> bool | None:
    """Whether a time service holds the clock, whichever it is (``ntp_adjtime(3)``); None where that is not told."""
    try:
        ask = ctypes.CDLL(None).ntp_adjtime
    except (OSError, AttributeError):
        return None
    # no bit of `modes`, the first field, is set: nothing is changed
    state = ask(ctypes.create_string_buffer(TIMEX_BYTES))
    return None if state < 0 else state != NOT_SYNCHRONISED
