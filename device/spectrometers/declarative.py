"""Driver of boards that a definition describes; see `device.spectrometers.definition`."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from device.spectrometers.connection import connect as connect_port
from device.spectrometers.declarative_protocol import (
    BinaryAnswerParser,
    Event,
    Numbers,
    Refusal,
    TextAnswerParser,
)
from device.spectrometers.definition import Definition, Exposure, Step, read_definition, unescape
from device.spectrometers.polled import PolledSpectrometer
from device.spectrometers.settings import SpectrometerSettings
from device.spectrometers.spectrometer import register_spectrometer
from device.spectrometers.transport import Transport
from specnet.errors import ConfigurationError
from specnet.spectra import Quantity, SpectralAxis

MAX_HELD_BYTES = 4096


@register_spectrometer("declarative")
class DeclarativeSpectrometer(PolledSpectrometer[Event]):
    """A board that a TOML file describes.

    Parameters
    ----------
    settings
        Port, exposure, `definition`.
    n_points
        Number of values that a spectrum must have.
    connect
        Opens the transport; the port of the settings by default.

    Raises
    ------
    ConfigurationError
        When the definition is faulty or has another number of points.
    """

    options: ClassVar[tuple[str, ...]] = ("definition",)

    def __init__(
        self, settings: SpectrometerSettings, n_points: int, connect: Callable[[], Transport] | None = None
    ) -> None:
        self._definition = read_definition(settings.definition)
        if n_points != self._definition.points:
            raise ConfigurationError(
                f"{settings.definition} describes {self._definition.points} points, the axis has {n_points}"
            )
        super().__init__(
            settings,
            n_points,
            answer_parser(self._definition),
            connect or (lambda: connect_port(settings, self._definition.baudrate)),
        )

    @staticmethod
    def known_axis(settings: SpectrometerSettings) -> SpectralAxis | None:
        """Give the axis of the definition, if it has one."""
        return read_definition(settings.definition).spectral_axis()

    @property
    def model(self) -> str:
        """Name of the model, from the definition."""
        return self._definition.model

    @property
    def max_intensity(self) -> float:
        """Highest count, from the definition."""
        return self._definition.counts.maximum

    @property
    def integration_time_micros_limits(self) -> tuple[int, int]:
        """Shortest and longest exposure in microseconds, from the definition."""
        exposure = self._definition.exposure
        return (
            super().integration_time_micros_limits if exposure is None else (exposure.minimum_us, exposure.maximum_us)
        )

    def wavelengths(self) -> NDArray[np.float64] | None:
        """Wavelengths ``(n_points,)`` in nm, where the definition has them."""
        axis = self._definition.spectral_axis()
        return axis.values if axis is not None and axis.quantity is Quantity.WAVELENGTH and axis.unit == "nm" else None

    def _set_up(self) -> None:
        for step in self._definition.set_up:
            self._take(unescape("send", step.send), step)

    def _set_exposure(self, micros: int) -> int:
        exposure = self._definition.exposure
        if exposure is None:
            return micros
        number = encode_exposure(exposure, micros)
        step = Step(send=exposure.send, expect=exposure.expect, timeout_s=self._settings.timeout_s)
        self._take(unescape("send", exposure.send).replace(b"{exposure}", number), step)
        return round(round(micros / exposure.unit_us) * exposure.unit_us) if exposure.encoding[-1] != "f" else micros

    def _acquire(self) -> NDArray[np.float64]:
        trigger = self._definition.trigger
        event = self._ask(unescape("send", trigger.send))
        if isinstance(event, Refusal):
            raise self._exchange.failure("refused", f"{self.model} refuses to measure")
        if not isinstance(event, Numbers):
            kind = "checksum" if event.kind == "checksum" else "garbage"
            raise self._exchange.failure(kind, f"{self.model} sent an answer that does not fit: wrong {event.kind}")
        counts = self._definition.counts
        return event.values * counts.scale + counts.offset

    def _take(self, request: bytes, step: Step) -> None:
        """Send a command and wait until the bytes that it is answered with have come."""
        self._get_into_step()
        transport, expected = self._exchange.transport, unescape("expect", step.expect)
        transport.write(request)
        deadline = time.monotonic() + step.timeout_s
        held = b""
        while expected not in held:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._exchange.failure(
                    "timeout",
                    f"{self.model} does not answer {request[:40]!r} with {expected!r} in {step.timeout_s:g} s",
                )
            held = (held + transport.read(left))[-MAX_HELD_BYTES:]
        if expected:
            # the rest of the line belongs to nothing that follows
            self._exchange.drain()


def answer_parser(definition: Definition) -> TextAnswerParser | BinaryAnswerParser:
    """Make the parser of a definition's answers."""
    return TextAnswerParser(definition) if definition.reply.kind == "text" else BinaryAnswerParser(definition)


def encode_exposure(exposure: Exposure, micros: int) -> bytes:
    """Exposure as it is sent."""
    units = micros / exposure.unit_us
    if exposure.encoding == "text":
        return b"%d" % round(units)
    return struct.pack(exposure.encoding, units if exposure.encoding.endswith("f") else round(units))
