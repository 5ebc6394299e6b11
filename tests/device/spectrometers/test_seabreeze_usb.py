"""The adapter for python-seabreeze against a stand-in with that package's public names: there is no hardware here."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from device.spectrometers import Spectrometer, SpectrometerLostError, SpectrometerSettings, create_spectrometer
from specnet.errors import ConfigurationError, SpectrometerError, SpectrumError

PUBLIC = {
    "from_first_available", "from_serial_number", "integration_time_micros", "integration_time_micros_limits",
    "intensities", "wavelengths", "max_intensity", "pixels", "close", "model",
}  # fmt: skip


class SeaBreezeError(Exception):
    pass


class StandIn:
    """`seabreeze.spectrometers.Spectrometer`, as far as the adapter uses it (python-seabreeze 2.x)."""

    attached = ("USB2G1", "USB2G2")
    taken: set[str] = set()  # noqa: RUF012
    failure: Exception | None = None
    model, pixels, max_intensity, integration_time_micros_limits = "USB4000", 4, 65_535.0, (10, 65_535_000)

    def __init__(self, serial_number: str) -> None:
        if serial_number in self.taken:
            raise SeaBreezeError("Device already opened.")
        self.serial_number = serial_number
        self.taken.add(serial_number)
        self.micros = 0
        nonlinearity = types.SimpleNamespace(get_nonlinearity_coefficients=lambda: [1.0, 1e-3])
        spectrometer = types.SimpleNamespace(get_electric_dark_pixel_indices=lambda: [0, 1])
        self.f = types.SimpleNamespace(nonlinearity_coefficients=nonlinearity, spectrometer=spectrometer)

    @classmethod
    def from_first_available(cls) -> StandIn:
        free = [serial for serial in cls.attached if serial not in cls.taken]
        if not free:
            raise SeaBreezeError("No unopened device found.")
        return cls(free[0])

    @classmethod
    def from_serial_number(cls, serial: str) -> StandIn:
        if serial not in cls.attached:
            raise SeaBreezeError(f"No device attached with serial number '{serial}'.")
        return cls(serial)

    def wavelengths(self) -> np.ndarray[Any, Any]:
        return np.array([350.0, 351.0, 352.0, 353.0])

    def integration_time_micros(self, micros: int) -> None:
        self.micros = micros

    def intensities(self, correct_dark_counts: bool = False, correct_nonlinearity: bool = False) -> Any:
        if self.failure is not None:
            raise self.failure
        return np.array([100.0, 100.0, 1100.0, 600.0])

    def close(self) -> None:
        self.taken.discard(self.serial_number)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    class Fresh(StandIn):
        taken: set[str] = set()  # noqa: RUF012

    package = types.ModuleType("seabreeze")
    package.spectrometers = types.ModuleType("seabreeze.spectrometers")  # type: ignore[attr-defined]
    package.spectrometers.Spectrometer = Fresh
    monkeypatch.setitem(sys.modules, "seabreeze", package)
    monkeypatch.setitem(sys.modules, "seabreeze.spectrometers", package.spectrometers)
    return Fresh


def opened(port: str = "first", n_points: int = 4) -> Spectrometer:
    spectrometer = create_spectrometer(SpectrometerSettings(driver="seabreeze", port=port), n_points)
    spectrometer.open()
    return spectrometer


def test_the_first_free_instrument_or_the_one_with_the_serial_number(library: type[StandIn]) -> None:
    first, second = opened(), opened("USB2G2")
    assert (first.model, first.serial_number, second.serial_number) == ("USB4000", "USB2G1", "USB2G2")
    with pytest.raises(SpectrometerLostError, match="already opened"):
        opened("USB2G2")
    first.close()
    assert opened().serial_number == "USB2G1"


def test_reads_with_the_corrections_of_the_instrument(library: type[StandIn]) -> None:
    spectrometer = opened()
    np.testing.assert_array_equal(spectrometer.intensities(), [100, 100, 1100, 600])
    np.testing.assert_array_equal(spectrometer.intensities(correct_dark_counts=True), [0, 0, 1000, 500])
    both = spectrometer.intensities(correct_dark_counts=True, correct_nonlinearity=True)
    np.testing.assert_allclose(both, [0, 0, 500, 500 / 1.5])
    np.testing.assert_array_equal(spectrometer.wavelengths(), [350, 351, 352, 353])
    assert (spectrometer.max_intensity, spectrometer.temperature_c()) == (65_535.0, None)


def test_the_exposure_is_set_within_the_limits(library: type[StandIn]) -> None:
    spectrometer = opened()
    spectrometer.integration_time_micros(2000)
    assert spectrometer.exposure_micros == 2000
    assert spectrometer._instrument.micros == 2000  # type: ignore[attr-defined]
    with pytest.raises(SpectrometerError, match="from 10 to 65535000 us, got 9"):
        spectrometer.integration_time_micros(9)


@pytest.mark.parametrize("failure", [SeaBreezeError("timeout"), OSError("no device"), RuntimeError("usb")])
def test_whatever_the_package_raises_means_to_open_again(library: type[StandIn], failure: Exception) -> None:
    spectrometer = opened()
    library.failure = failure
    with pytest.raises(SpectrometerLostError, match=type(failure).__name__):
        spectrometer.intensities()
    assert spectrometer.counters["failed"] == 1
    library.failure = None
    spectrometer.open()
    assert spectrometer.intensities().shape == (4,)


def test_another_number_of_pixels(library: type[StandIn]) -> None:
    with pytest.raises(SpectrumError, match="4 pixels, expected 5"):
        opened(n_points=5)
    assert opened().pixels == 4


def test_not_there_and_not_open(library: type[StandIn]) -> None:
    with pytest.raises(SpectrometerLostError, match="No device attached"):
        opened("nobody")
    with pytest.raises(SpectrometerLostError, match="not open"):
        create_spectrometer(SpectrometerSettings(driver="seabreeze"), 4).intensities()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seabreeze", None)
    with pytest.raises(ConfigurationError, match="pip install seabreeze"):
        create_spectrometer(SpectrometerSettings(driver="seabreeze"), 4)


def test_the_package_itself_where_it_is_installed() -> None:
    real = pytest.importorskip("seabreeze.spectrometers")
    assert all(hasattr(real.Spectrometer, name) for name in vars(StandIn) if name in PUBLIC)
    with pytest.raises(SpectrometerLostError, match="nobody"):
        opened("nobody")
