from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support_profiles import device_profile

from device.choosing.energy import DAY_S, EnergyMeter, read_watts
from device.choosing.energy_day import EnergyDay
from specnet.errors import ConfigurationError
from specnet.profiles import LINK_PRESETS, write_profile

WATTS = 5.0


def powered(watts: float = WATTS) -> object:
    power = "stated" if watts else "unknown"
    return msgspec.structs.replace(device_profile(), active_watts=watts, idle_watts=0.0, power=power)


def test_computing_and_sending_take_what_the_profiles_say() -> None:
    link = LINK_PRESETS["nb-iot"]
    meter = EnergyMeter(100.0, powered(), link, EnergyDay(0.0, 0.0))  # type: ignore[arg-type]
    assert meter.left(0.0) == (100.0, DAY_S)
    meter.computed(2000.0)
    assert meter.mj_per_spectrum == pytest.approx(10.0)
    meter.transmitted(3, 300)
    radio_mj = 3e3 * link.transmit_watts * link.air_time_s(100)
    assert radio_mj > 0
    assert meter.left(60.0) == (pytest.approx(100.0 - (10.0 + radio_mj) / 1e3), DAY_S - 60.0)
    meter.start_anew()
    assert meter.mj_per_spectrum == 0.0
    meter.transmitted(0, 0)
    assert meter.left(60.0)[0] == pytest.approx(100.0 - (10.0 + radio_mj) / 1e3)


def test_a_new_day_begins_with_the_whole_budget() -> None:
    meter = EnergyMeter(1.0, powered(), None, EnergyDay(100.0, 0.0))  # type: ignore[arg-type]
    meter.computed(1e6)
    assert meter.left(100.0 + DAY_S - 1)[0] == pytest.approx(1.0 - WATTS)
    assert meter.left(100.0 + 3 * DAY_S + 10) == (1.0, DAY_S - 10)


def test_a_day_goes_on_with_what_was_spent_of_it() -> None:
    meter = EnergyMeter(1.0, powered(), None, EnergyDay(100.0, 250.0))  # type: ignore[arg-type]
    meter.computed(2000.0)
    assert meter.mj_per_spectrum == pytest.approx(10.0), "what was spent before says nothing of a spectrum"
    assert meter.left(100.0 + DAY_S - 1) == (pytest.approx(0.74), 1.0)
    assert meter.day == EnergyDay(100.0, 260.0)
    assert meter.left(100.0 + DAY_S) == (1.0, DAY_S)
    assert meter.day == EnergyDay(100.0 + DAY_S, 0.0)


def test_a_day_that_was_over_long_ago_counts_no_more() -> None:
    meter = EnergyMeter(1.0, powered(), None, EnergyDay(100.0, 999.0))  # type: ignore[arg-type]
    assert meter.left(100.0 + 5 * DAY_S + 60) == (1.0, DAY_S - 60)


def test_without_a_budget_nothing_is_left_and_nothing_runs_out() -> None:
    meter = EnergyMeter(0.0, None, None, EnergyDay(0.0, 0.0))
    meter.computed(1e9)
    assert meter.left(1.0)[0] is None


def test_profiles_of_the_budget_are_read_and_checked(tmp_path: Path) -> None:
    board = write_profile(tmp_path / "device.json", powered())  # type: ignore[arg-type]
    unknown = write_profile(tmp_path / "unknown.json", powered(0.0))  # type: ignore[arg-type]
    link = write_profile(tmp_path / "link.json", LINK_PRESETS["wifi"])
    device, radio = read_watts(10.0, str(board), "nb-iot")
    assert device is not None
    assert (device.active_watts, radio) == (WATTS, LINK_PRESETS["nb-iot"])
    assert read_watts(0.0, "", "") == (None, None)
    assert read_watts(10.0, str(board), str(link))[1] == LINK_PRESETS["wifi"]
    with pytest.raises(ConfigurationError, match=r"unknown\.json has 0 W"):
        read_watts(10.0, str(unknown), "")
    with pytest.raises(ConfigurationError, match="none has 0 W"):
        read_watts(10.0, "", "")
    with pytest.raises(ConfigurationError, match=r"link\.json is of a link"):
        read_watts(10.0, str(link), "")
    with pytest.raises(ConfigurationError, match=r"device\.json is of a device"):
        read_watts(10.0, str(board), str(board))
