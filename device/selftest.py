"""Checks that a device can do its work: bundle, spectrometer, broker, disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device.classifier import LocalClassifier
from device.config import DeviceConfiguration
from device.models.starting import bundle_in_use
from device.models.store import ModelStore
from device.spectrometers import create_spectrometer
from device.spectrometers.axis import resolve_axis
from specnet.bundle import Bundle, read_bundle
from specnet.errors import BrokerError, SpecnetError
from specnet.files import write_bytes
from specnet.mqtt import MqttSession
from specnet.runtime import Segments, self_test

BROKER_TIMEOUT_S = 5.0
TRIAL_BYTES = 4096


@dataclass(frozen=True)
class Check:
    """One check: what it was, whether it passed, and what was found."""

    name: str
    passed: bool
    detail: str


def run_checks(configuration: DeviceConfiguration) -> list[Check]:
    """Run all checks; one that fails does not keep the others from running."""
    checks: list[tuple[str, Callable[[DeviceConfiguration], str]]] = [
        ("bundle", _check_bundle),
        ("axis and split", _check_model_fits),
        ("spectrometer", _check_spectrometer),
        ("broker", _check_broker),
        ("state folder", _check_disk),
    ]
    return [_run(name, check, configuration) for name, check in checks]


def _run(name: str, check: Callable[[DeviceConfiguration], str], configuration: DeviceConfiguration) -> Check:
    try:
        return Check(name, True, check(configuration))
    except (SpecnetError, OSError) as error:
        return Check(name, False, str(error))


def _bundle(configuration: DeviceConfiguration) -> Bundle:
    """Read the bundle that is in use: the configuration's own, or an update."""
    return read_bundle(bundle_in_use(ModelStore(configuration.state_dir), Path(configuration.bundle)))


def _check_bundle(configuration: DeviceConfiguration) -> str:
    """Hashes, schema and self-test vectors, with the runtime that will be used."""
    bundle = _bundle(configuration)
    deviation = self_test(Segments(bundle))
    return f"{bundle.manifest.name} version {bundle.manifest.version}, id {bundle.bundle_id}, deviation {deviation:.1e}"


def _check_model_fits(configuration: DeviceConfiguration) -> str:
    bundle = _bundle(configuration)
    pixels = resolve_axis(configuration.spectrometer, bundle.source_axis)
    split = configuration.split_of(bundle.manifest)
    classifier = LocalClassifier(bundle, pixels, split)
    classifier.use_operating_point(configuration.operating_point)
    first, last = pixels.axis.values[0], pixels.axis.values[-1]
    return f"{pixels.n_points} points, {first:g} to {last:g} {pixels.axis.unit}; split {split}"


def _check_spectrometer(configuration: DeviceConfiguration) -> str:
    """Open it: drivers ask for a sign of life while opening. No spectrum is taken."""
    n_points = resolve_axis(configuration.spectrometer, _bundle(configuration).source_axis).n_points
    spectrometer = create_spectrometer(configuration.spectrometer, n_points)
    spectrometer.open()
    spectrometer.close()
    return f"{spectrometer.model} answers at {spectrometer.serial_number}"


def _check_broker(configuration: DeviceConfiguration) -> str:
    broker = configuration.broker
    came_up = threading.Event()
    # another name than the service's: the broker would throw out a service that is running
    session = MqttSession(
        broker,
        f"specnet-{configuration.site}-{configuration.device}-selftest",
        on_message=lambda incoming: None,
        on_up=came_up.set,
    )
    started = time.perf_counter()
    session.start()
    try:
        if not came_up.wait(BROKER_TIMEOUT_S):
            raise BrokerError(f"no connection to {broker.host}:{broker.port} within {BROKER_TIMEOUT_S:g} s")
        took = time.perf_counter() - started
        return f"{broker.host}:{broker.port} speaks MQTT {session.protocol}, connected in {took * 1e3:.0f} ms"
    finally:
        session.stop(1.0)


def _check_disk(configuration: DeviceConfiguration) -> str:
    trial = Path(configuration.state_dir) / ".selftest"
    write_bytes(trial, bytes(TRIAL_BYTES))
    trial.unlink()
    return f"{configuration.state_dir} can be written"
