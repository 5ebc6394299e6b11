"""What a simulated board's protocol must be able to do."""

from __future__ import annotations

from typing import Any, Final, Protocol

from numpy.typing import NDArray

MAX_COMMAND_BYTES = 256
"""A board forgets a command that is longer."""


class SpectrumWish:
    """Stands among the replies of a board where the host has asked for a spectrum."""


SPECTRUM: Final = SpectrumWish()


class Board(Protocol):
    """Protocol of a board, without any input or output."""

    @property
    def name(self) -> str:
        """Name of the protocol."""

    @property
    def has_checksum(self) -> bool:
        """Whether the reply with a spectrum carries one."""

    @property
    def baudrate(self) -> int:
        """Speed that the board listens at; 0 when it does not care."""

    @property
    def integration_us(self) -> int:
        """Exposure that the host has set, in microseconds."""

    def feed(self, data: bytes) -> list[bytes | SpectrumWish]:
        """Give the replies to what the host has sent, in order."""

    def spectrum(self, counts: NDArray[Any], *, wrong_checksum: bool = False) -> bytes:
        """Make the reply with a spectrum, counts ``(n_points,)``; without a checksum there is none to be wrong."""

    def refusal(self) -> bytes:
        """Reply that says no."""

    def end_of_replay(self) -> bytes:
        """Reply when all spectra have been served."""

    def garbage(self, noise: bytes) -> bytes:
        """Reply that nobody can read, made of noise."""

    def restart(self) -> None:
        """Forget everything: the board was unplugged."""
