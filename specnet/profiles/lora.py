"""Time on air of LoRa, after Semtech's SX1276 data sheet (section 4.1.1.7) and application note AN1200.13."""

from __future__ import annotations

from math import ceil

import msgspec

from specnet.profiles.fields import check_choice, check_range

BANDWIDTHS_HZ = (125_000, 250_000, 500_000)
LONG_SYMBOL_S = 0.016
"""Longer symbols need the low data rate optimisation (SX1276 data sheet, section 4.1.1.6)."""


class LoraModulation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a LoRa modem is set.

    Parameters
    ----------
    spreading_factor
        7 to 12; bits in one symbol.
    bandwidth_hz
        125000, 250000 or 500000.
    coding_rate
        Bits sent for each four of the message, 5 to 8.
    preamble_symbols
        Programmed length of the preamble; LoRaWAN has 8.
    explicit_header, crc
        Whether header and checksum of the physical layer are sent; uplinks of LoRaWAN have both.

    Raises
    ------
    ProfileError
        When a value is out of range.
    """

    spreading_factor: int
    bandwidth_hz: int = 125_000
    coding_rate: int = 5
    preamble_symbols: int = 8
    explicit_header: bool = True
    crc: bool = True

    def __post_init__(self) -> None:
        check_range("spreading_factor", self.spreading_factor, 7, 12)
        check_choice("bandwidth_hz", self.bandwidth_hz, BANDWIDTHS_HZ)
        check_range("coding_rate", self.coding_rate, 5, 8)
        check_range("preamble_symbols", self.preamble_symbols, 6, 65_535)

    @property
    def symbol_s(self) -> float:
        """Length of a symbol in seconds."""
        return float(2**self.spreading_factor / self.bandwidth_hz)

    def air_time_s(self, n_bytes: int) -> float:
        """Seconds on air of one frame whose physical payload, MAC header included, has `n_bytes`."""
        optimised = self.symbol_s > LONG_SYMBOL_S
        bits = 8 * n_bytes - 4 * self.spreading_factor + 28 + 16 * self.crc - 20 * (not self.explicit_header)
        groups = max(0, ceil(bits / (4 * (self.spreading_factor - 2 * optimised))))
        return (self.preamble_symbols + 4.25 + 8 + groups * self.coding_rate) * self.symbol_s
