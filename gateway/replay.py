"""Requests that come again long after their device has gone on.

What can be known
-----------------
A request names its device, the device's start (`boot`) and the spectrum since then (`sequence`), and nothing in it
proves when it was sent or by whom. Who may publish on a device's topics is the broker's business: TLS keeps others from
reading and so from recording, and the rules of ``specnet-gateway broker-config`` keep all but the device itself from
sending. This here is the second line, for networks without them, and for what no key prevents: a broker that is
restored with its queue, a bridge that delivers last week's messages, two devices with a copy of one disk.

A device sends again what has no result yet, oldest first, and byte for byte the same. So neither an old number nor a
repetition is suspicious by itself: a request may be days old because there was no way to the gateway, and it may come
again because the result was lost. What a device does *not* do is to send a request long after later ones. Its outbox
is bounded, requests under way are few, and all older ones go first. So the distance counts that a request has from the
latest one known of its device, in spectra: those of its own boot, and those of every later boot that is remembered.
A request at least `window` spectra behind is refused, and its device is told so, which makes its own answer final; a
stranger's recording ends there.

The window has to be wider than an outbox in spectra, of which only a share are requests: by default a hundred thousand,
which is an outbox of ten thousand requests where every tenth spectrum is sent. An audit sample has no turn while
requests wait and may become older than that; then there is one comparison less.

A device that counts anew
-------------------------
After its storage was replaced a device begins at the first boot again, which looks exactly like a recording of its
youth. The difference is that the older life is silent from then on. So a request that is behind is taken as the
beginning of a new life when nothing in order was heard of the device for `quiet_s`; that is logged. A storage is hardly
replaced faster, and if it is, the device's own answers stand for that minute.

The same rule bounds what a forger can do who sends a number far ahead to have the device itself refused: he has to go
on sending, or the device is heard again after `quiet_s`.

What is left open
-----------------
A recording that is sent while its device is silent for longer than `quiet_s` is computed, one that is less than the
window behind too (without computing where `gateway.answers` still has the result); the device ignores results that it
does not wait for. Each gateway process remembers for itself, by what it saw, and begins anew with each start. Devices
beyond `devices` are forgotten, the least recently heard first: an unknown device is not refused anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.answers import RequestKey
from gateway.intake import RefusedRequest
from gateway.logs import fields
from specnet.wire import OffloadRequest

_LOGGER = logging.getLogger(__name__)
MAX_BOOTS = 16
"""Boots of a device that are remembered; the spectra of earlier ones do not count, which lets more through."""


@dataclass(slots=True)
class _Device:
    """Latest sequence of each boot, in the order of boots, and when something in order was heard last."""

    latest: dict[int, int] = field(default_factory=dict)
    heard: float = 0.0


class ReplayGuard:
    """Decides whether a request is one that its device may still be waiting for.

    All methods may be called from any thread.

    Parameters
    ----------
    window
        So many spectra behind the latest, a request is refused; 0 refuses nothing and remembers nothing.
    devices
        Most devices that are remembered.
    quiet_s
        A device of which nothing in order was heard for so many seconds may count anew.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, window: int, devices: int, quiet_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window = window
        self._most = devices
        self._quiet_s = quiet_s
        self._clock = clock
        self._lock = threading.Lock()
        self._devices: OrderedDict[tuple[str, str], _Device] = OrderedDict()

    def refuse_old(self, request: OffloadRequest, key: RequestKey) -> None:
        """Take note of a request that could be computed.

        Raises
        ------
        RefusedRequest
            With reason ``replayed`` and the request, when its device cannot be waiting for it any more.
        """
        if not self._window:
            return
        behind = self._behind(key)
        if behind is not None:
            raise RefusedRequest(
                "replayed",
                f"{behind} spectra behind the latest of its device, less than {self._window} are accepted",
                request,
            )

    def _behind(self, key: RequestKey) -> int | None:
        """Spectra that a request is too late by; None when it is in order, which is noted."""
        with self._lock:
            name = (key.site, key.device)
            device = self._devices.setdefault(name, _Device())
            now = self._clock()
            distance = _distance(device.latest, key.boot, key.sequence)
            if distance >= self._window:
                if now - device.heard < self._quiet_s:
                    return distance
                _LOGGER.warning(
                    "a device counts anew, or old messages are sent again",
                    extra=fields(site=key.site, device=key.device, boot=key.boot, spectra_behind=distance),
                )
                device.latest.clear()
            device.heard = now
            _note(device.latest, key.boot, key.sequence)
            self._devices.move_to_end(name)
            while len(self._devices) > self._most:
                self._devices.popitem(last=False)
        return None

    def __len__(self) -> int:
        return len(self._devices)


def _distance(latest: dict[int, int], boot: int, sequence: int) -> int:
    """Spectra that the device has taken since this one, as far as is known."""
    later = sum(last + 1 for number, last in latest.items() if number > boot)
    return later + max(0, latest.get(boot, sequence) - sequence)


def _note(latest: dict[int, int], boot: int, sequence: int) -> None:
    latest[boot] = max(sequence, latest.get(boot, sequence))
    if len(latest) > MAX_BOOTS:
        del latest[min(latest)]
