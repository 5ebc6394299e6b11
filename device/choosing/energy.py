"""What computing and sending have taken of a day's joules. No clock inside: times are told, as the device's age."""

from __future__ import annotations

from device.choosing.energy_day import EnergyDay
from specnet.errors import ConfigurationError
from specnet.profiles import LINK_PRESETS, DeviceProfile, LinkProfile, read_profile

DAY_S = 86_400.0


class EnergyMeter:
    """Counts what was done, at the watts of the profiles.

    The device's idle power is not in it: no operating point changes that. The first day begins with the first start
    that has a budget, each other 24 hours after the one before; restarts begin none (`EnergyDay`).

    Parameters
    ----------
    daily_joules
        The budget; 0 for none.
    device
        Has the watts; None where they are not known.
    link
        Has the watts and the air time of sending; None where they are not known.
    day
        That goes on.
    """

    def __init__(
        self, daily_joules: float, device: DeviceProfile | None, link: LinkProfile | None, day: EnergyDay
    ) -> None:
        self._daily_joules = daily_joules
        self._device, self._link = device, link
        self._began, self._spent_mj = day.began, day.spent_mj
        self._since_change_mj = 0.0
        self._spectra = 0

    def computed(self, microseconds: float) -> None:
        """Count a spectrum that was judged in so many microseconds."""
        self._spectra += 1
        if self._device is not None:
            self._spend(self._device.millijoules(microseconds))

    def transmitted(self, messages: int, n_bytes: int) -> None:
        """Count messages that have so many bytes together; they are taken to be equally long."""
        if self._link is not None and messages > 0:
            air_s = messages * self._link.air_time_s(round(n_bytes / messages))
            self._spend(1e3 * self._link.transmit_watts * air_s)

    def start_anew(self) -> None:
        """Forget what a spectrum took: the point has changed."""
        self._since_change_mj, self._spectra = 0.0, 0

    @property
    def mj_per_spectrum(self) -> float:
        """Millijoules a spectrum since `start_anew`."""
        return self._since_change_mj / self._spectra if self._spectra else 0.0

    @property
    def day(self) -> EnergyDay:
        """The day, as of the last time that `left` was asked, and what was spent in it so far."""
        return EnergyDay(self._began, self._spent_mj)

    def left(self, now: float) -> tuple[float | None, float]:
        """Joules left of the budget, None without one, and seconds left of the day; a new day begins with all of it."""
        days = (now - self._began) // DAY_S
        if days >= 1:
            self._began += days * DAY_S
            self._spent_mj = 0.0
        left_s = self._began + DAY_S - now
        return (self._daily_joules - self._spent_mj / 1e3 if self._daily_joules else None), left_s

    def _spend(self, millijoules: float) -> None:
        self._spent_mj += millijoules
        self._since_change_mj += millijoules


def read_watts(daily_joules: float, device: str, link: str) -> tuple[DeviceProfile | None, LinkProfile | None]:
    """Read the profiles that a budget needs; the link may be the name of a preset.

    Raises
    ------
    ConfigurationError
        When a file holds another kind of profile, or there is a budget and the device's watts are not known.
    ProfileError
        When a file cannot be read.
    """
    board = read_profile(device) if device else None
    if board is not None and not isinstance(board, DeviceProfile):
        raise ConfigurationError(f"choosing.device_profile is a profile of a device, {device} is of a {board.kind}")
    if daily_joules and (board is None or board.active_watts == 0):
        raise ConfigurationError(
            f"choosing.daily_joules needs a device profile with its watts, {device or 'none'} has 0 W; make one with "
            "specnet-device profile --watts"
        )
    radio = LINK_PRESETS.get(link) or (read_profile(link) if link else None)
    if radio is not None and not isinstance(radio, LinkProfile):
        raise ConfigurationError(f"choosing.link_profile is a profile of a link, {link} is of a {radio.kind}")
    return board, radio
