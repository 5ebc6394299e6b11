"""How fast a file is fetched, and when that is to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from specnet.errors import ModelStoreError

LOOK_EVERY_S = 0.1


class FetchInterruptedError(ModelStoreError):
    """The service ends, or another model is announced: what has arrived is kept."""


class Pace:
    """A mean rate that is not exceeded, and waiting that ends when it should.

    Parameters
    ----------
    rate_bytes_s
        Bytes a second; 0 does not limit.
    interrupted
        Asked while waiting.
    """

    def __init__(self, rate_bytes_s: float, interrupted: Callable[[], bool]) -> None:
        self._rate = rate_bytes_s
        self._interrupted = interrupted
        self._free_at = time.monotonic()

    def took(self, n_bytes: int) -> None:
        """Wait as long as `n_bytes` may take since the last time.

        Raises
        ------
        FetchInterruptedError
            When the fetching is to end.
        """
        now = time.monotonic()
        if self._rate:
            self._free_at = max(self._free_at, now) + n_bytes / self._rate
        self.wait(self._free_at - now if self._rate else 0.0)

    def wait(self, seconds: float) -> None:
        """Wait; `FetchInterruptedError` when the fetching is to end."""
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_EVERY_S))
            self.check()

    def check(self) -> None:
        """Raise `FetchInterruptedError` when the fetching is to end."""
        if self._interrupted():
            raise FetchInterruptedError("interrupted")
