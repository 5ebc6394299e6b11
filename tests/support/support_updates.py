"""A device under updates: real broker, real process, simulated board, and a publisher that can misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support_broker import Broker, settings_for, wait_until
from support_device import DeviceProcess, serving
from support_models import Release, Releaser

from device.spectrometers.simulator import SimulatedBoard
from gateway.publishing import BundlePublisher, PublishedModel, prepare_model
from specnet.mqtt import Incoming, MqttSession
from specnet.signing import signature_path
from specnet.wire import ModelState, Part, PartRequest, Topics, decode, encode

SITE, DEVICE = "lab", "node-1"
TOPICS = Topics(SITE, DEVICE)


class Publisher:
    """`BundlePublisher` with a session of its own; `spoil` may change what goes out for a request."""

    def __init__(self, broker: Broker, release: Release, *, url: str = "", device: str | None = None) -> None:
        self.model: PublishedModel = prepare_model(release.path, signature_path(release.path), url=url)
        self.spoil: Callable[[PartRequest, bytes], list[bytes]] | None = None
        self.requests: list[PartRequest] = []
        self.publisher = BundlePublisher(self.model, SITE, device)
        # another client name each time: a new one must not throw the last one out
        name = f"publisher-{time.monotonic_ns()}"
        self.session = MqttSession(settings_for(broker), name, on_message=self._handle, on_up=self._announce)
        self.publisher.attach(self.session)
        self.session.start()

    def _announce(self) -> None:
        self.publisher.announce()

    def _handle(self, incoming: Incoming) -> None:
        if incoming.topic.endswith("/get"):
            request = decode(PartRequest, incoming.payload)
            self.requests.append(request)
            if self.spoil is not None:
                part = self.publisher._part(request)
                for payload in self.spoil(request, encode(part)):
                    self.session.publish(TOPICS.model_part, payload)
                return
        self.publisher.handle(incoming)

    @property
    def state(self) -> ModelState | None:
        """What the device says of its models."""
        return self.publisher.states.get(DEVICE)

    def wait_stage(self, stage: str, version: int | None = None, timeout: float = 60.0) -> ModelState:
        """Wait until the device says so."""

        def reached() -> bool:
            state = self.state
            return state is not None and state.stage == stage and version in (None, state.version)

        wait_until(reached, f"stage {stage} {version or ''}, last {self.state}", timeout)
        assert self.state is not None
        return self.state

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.stop(1.0)


class UpdatedDevice:
    """Starts the same device again and again.

    Parameters
    ----------
    folder
        Holds its state folder.
    broker, releaser, bundle
        Where it connects, whom it trusts, what it comes with.
    port
        Of its spectrometer.
    """

    def __init__(self, folder: Path, broker: Broker, releaser: Releaser, bundle: Path, port: Path) -> None:
        self.state_dir = folder / "state"
        self._fixed = ["--bundle", bundle, "--state-dir", self.state_dir, "--port", port]
        self._fixed += ["--broker", f"{broker.host}:{broker.port}"]
        self._settings: dict[str, Any] = {
            "device": DEVICE,
            "site": SITE,
            "split": 1,
            "seed": 1,
            "spectrometer.timeout_s": 10.0,
            "spectrometer.interval_s": 0.02,
            "uplink.drain_s": 0.0,
            "broker.reconnect_min_s": 0.05,
            "broker.reconnect_max_s": 0.2,
            "models.trust_dir": releaser.trust,
            "models.confirm_after": 5,
            "models.rate_bytes_s": 0,
        }

    def start(self, **settings: object) -> DeviceProcess:
        """Start a process; a double underscore stands for a dot."""
        chosen = self._settings | {name.replace("__", "."): value for name, value in settings.items()}
        assignments = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
        return DeviceProcess("run", *self._fixed, *assignments)

    @property
    def received(self) -> int:
        """Bytes of a model that have been fetched so far."""
        return sum(path.stat().st_size for path in self.state_dir.glob("models/incoming/*.part"))


@contextmanager
def updated_device(
    folder: Path, broker: Broker, releaser: Releaser, bundle: Path, intensity: NDArray[np.uint16]
) -> Iterator[UpdatedDevice]:
    """Serve a board for a device."""
    link = folder / "spectrometer"
    with serving(SimulatedBoard(intensity.astype(np.uint32), link=link, loop=True)):
        yield UpdatedDevice(folder, broker, releaser, bundle, link)


def model_in_use(process: DeviceProcess) -> tuple[int, str]:
    """Version and stage that the last ready record names."""
    model = process.of_type("ready")[-1]["model"]
    return model["version"], model["stage"]


def events(process: DeviceProcess) -> list[str]:
    """Events of models, in order."""
    return [record["event"] for record in process.of_type("model")]


def reencoded(payload: bytes, **changes: object) -> bytes:
    """A part with other fields, its checksum as it was unless changed."""
    import msgspec

    return msgspec.msgpack.encode(msgspec.msgpack.decode(payload) | changes)


__all__ = ["DEVICE", "SITE", "TOPICS", "Part", "Publisher", "UpdatedDevice", "events", "model_in_use", "updated_device"]
