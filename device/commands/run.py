"""``specnet-device run``."""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import threading
from contextlib import suppress

from device.commands.options import add_configuration_options, configuration_from
from device.service import DeviceService
from device.signals import stop_on_signals
from specnet.errors import ConfigurationError
from specnet.systemd import Notifier

HELP = "read the spectrometer, answer, and ask the gateway when uncertain"
EXAMPLE = "specnet-device run --config node.toml --count 100"
M_ARENA_MAX = -8
"""Of glibc's ``malloc.h``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration_options(parser)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--count", type=int, default=0, metavar="N", help="stop after N spectra (default: no limit)")
    amount.add_argument("--once", action="store_true", help="stop after one spectrum")


def _share_one_heap() -> None:
    """Let all threads take memory from one heap: they hardly ever do so at once, and one each takes a megabyte more."""
    with suppress(AttributeError, OSError):  # other C libraries have one anyway
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def run(args: argparse.Namespace) -> int:
    """Run the service; records go to stdout, one JSON document a line."""
    if args.count < 0:
        raise ConfigurationError(f"--count is 0 or more, got {args.count}")
    configuration = configuration_from(args)
    if not configuration.spectrometer.port:
        raise ConfigurationError("no serial port: set spectrometer.port in the configuration or use --port")
    _share_one_heap()
    ended = threading.Event()
    services = _Services(ended)
    stop_on_signals(services.stop)
    left = 1 if args.once else args.count
    notifier = Notifier()
    while True:
        service = DeviceService(configuration, sys.stdout, services.next(), notifier=notifier)
        service.run(left)
        # another model was activated: a new service has a new boot number, and nothing of the old model
        if not service.replaced or ended.is_set() or service.records_lost or 0 < left <= service.spectra:
            break
        left -= service.spectra if left else 0
    if service.records_lost:
        sys.stderr.write(f"specnet-device: nobody reads the records any more, {service.records_lost} are lost\n")
        # the interpreter flushes stdout at its end and would complain once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


class _Services:
    """One service after the other, any of which a signal ends for good."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._stopped = threading.Event()

    def next(self) -> threading.Event:
        """Give the event that ends the next service."""
        self._stopped = threading.Event()
        # a signal may have come between two services
        if self._ended.is_set():
            self._stopped.set()
        return self._stopped

    def stop(self) -> None:
        """End the present service and those after it."""
        self._ended.set()
        self._stopped.set()
