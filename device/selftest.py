"""Checks that a device can do its work: bundle, spectrometer, broker, disk, clock, trust in updates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from device.choosing.settings import AUTO
from device.choosing.steering import decision_table
from device.choosing.table import Row
from device.classifier import LocalClassifier
from device.config import DeviceConfiguration
from device.models.starting import bundle_in_use
from device.models.store import ModelStore
from device.spectrometers import create_spectrometer
from device.spectrometers.axis import resolve_axis
from device.wall_clock import synchronised
from specnet.bundle import Bundle, read_bundle
from specnet.errors import BrokerError, ConfigurationError, SpecnetError
from specnet.files import write_bytes
from specnet.handover import CHOSEN, OWN_POINT
from specnet.mqtt import MqttSession
from specnet.runtime import Segments, self_test
from specnet.signing import TrustedKeys, has_keys

BROKER_TIMEOUT_S = 5.0
TRIAL_BYTES = 4096
CLOCK_TOLERANCE = timedelta(days=1)
"""The bundle may come from a machine whose clock is ahead."""


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
        ("operating points", _check_points),
        ("spectrometer", _check_spectrometer),
        ("broker", _check_broker),
        ("state folder", _check_disk),
        ("clock", _check_clock),
        ("updates", _check_updates),
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
    LocalClassifier(bundle, pixels, split)
    first, last = pixels.axis.values[0], pixels.axis.values[-1]
    return f"{pixels.n_points} points, {first:g} to {last:g} {pixels.axis.unit}; split {split}"


def _check_points(configuration: DeviceConfiguration) -> str:
    """Say which point is in force, which others can be, and what the bundle promises of them."""
    bundle, in_force = _bundle(configuration), configuration.operating_point
    manifest = bundle.manifest
    if in_force == AUTO:
        rows = decision_table(configuration, manifest).rows
        return "chosen by what is measured among " + "; ".join(_row(row) for row in rows)
    names = list(dict.fromkeys([OWN_POINT, *manifest.operating_points]))
    if in_force not in names:
        raise ConfigurationError(f"unknown operating point {in_force[:80]!r}; this bundle has {', '.join(names)}")
    placed = {name: manifest.placements.get(CHOSEN if name == OWN_POINT else name) for name in names}
    return f"{in_force} in force; " + ", ".join(
        name if one is None else f"{name} ({_placed(one.split, one.codec)})" for name, one in placed.items()
    )


def _row(row: Row) -> str:
    figures = f"accuracy {100 * row.expected.accuracy:.1f} %"
    if row.sends:
        figures += f", {row.expected.request_bytes:.0f} bytes a request, round trips up to {row.limit_ms:.0f} ms"
    return f"{row.name} ({_placed(row.split, row.codec)}, {figures})"


def _placed(split: int, codec: str) -> str:
    return f"split {split} {codec}" if codec else f"split {split}"


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


def _check_clock(configuration: DeviceConfiguration) -> str:
    """Compare with the day on which the bundle was made: a clock before it has been reset.

    Nothing is lost by a wrong clock, since spectra are numbered and ages are monotonic; but a certificate that is not
    valid yet keeps the node from its broker, and the times in the records are wrong.
    """
    now, made = datetime.now(UTC), datetime.fromisoformat(_bundle(configuration).manifest.created)
    if now < made - CLOCK_TOLERANCE:
        raise ConfigurationError(
            f"the wall clock says {now:%Y-%m-%d %H:%M} UTC, the bundle was made {made:%Y-%m-%d %H:%M}: set the clock, "
            "TLS certificates are checked by it"
        )
    kept = {True: "synchronised", False: "not synchronised", None: "whether it is synchronised is not told"}
    return f"{now:%Y-%m-%d %H:%M:%S} UTC, {kept[synchronised()]}"


def _check_updates(configuration: DeviceConfiguration) -> str:
    """Read all keys, with the library that will verify with them."""
    settings = configuration.models
    if not settings.trust_dir:
        return "none: models.trust_dir is not set"
    if not has_keys(settings.trust_dir):
        raise ConfigurationError(f"models.trust_dir {settings.trust_dir!r} has no public keys (*.pem)")
    keys = TrustedKeys(settings.trust_dir)
    way = "over the network and by hand" if settings.remote else "by hand alone (models.remote)"
    return f"{way}; trusted: {', '.join(keys.ids)}"
