"""Protocols of simulated boards: bytes from the host in, replies and wishes for a spectrum out."""

from device.spectrometers.boards.board import SPECTRUM, Board, SpectrumWish

__all__ = ["SPECTRUM", "Board", "SpectrumWish"]
