"""A deployment as processes: broker, shaped link, gateway, spectrometer and device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specnet.demo.broker import Broker
from specnet.demo.children import Child, ChildError
from specnet.demo.gateway_child import start_gateway
from specnet.demo.replay_file import write_replay
from specnet.demo.shaped_link import ShapedLink
from specnet.demo.shaping import Shaper
from specnet.demo.tally import Tally
from specnet.errors import ConfigurationError
from specnet.files import write_bytes
from specnet.profiles import LinkProfile

READY_TIMEOUT_S = 60.0
SITE, DEVICE = "site", "device"
"""Names of the length that predicted sizes of requests assume."""
FULL_SCALE = 60_000
INTEGRATION_S = 0.001
CONFIGURATION = """\
site = "{site}"
device = "{device}"
bundle = "{bundle}"
state_dir = "{state}"
seed = 0

[spectrometer]
driver = "c12880ma"
port = "{port}"
integration_time_s = {integration}
interval_s = {interval}
timeout_s = 30.0
full_scale = 0.0

[broker]
host = "{host}"
port = {broker_port}
keepalive_s = 3600

[uplink]
# losses are the link's business here: it is late with what was lost
retry_s = 3600.0
retry_max_s = 3600.0
deadline_s = 60.0
drain_s = {drain}
answers = {answers}
"""


@dataclass(frozen=True)
class Deployed:
    """What came out.

    Parameters
    ----------
    tally
        Records of all spectra.
    link
        What the link counted.
    took_s
        From the first answer to the last.
    """

    tally: Tally
    link: Shaper
    took_s: float


def as_counts(intensity: NDArray[Any]) -> tuple[NDArray[np.uint32], float]:
    """Make ADC counts of spectra ``(n, n_points)``, and say which share of the points had to be raised to 0.

    Whole numbers from 0 stay as they are. Others are multiplied by one factor, so that the largest of a spectrum is
    `FULL_SCALE`, where preprocessing of most models takes it out again; values below 0 become 0, because a
    spectrometer has none.
    """
    values = np.asarray(intensity, dtype=np.float64)
    if (values >= 0).all() and (values == np.rint(values)).all() and values.max() < 2**32:
        return values.astype(np.uint32), 0.0
    scaled = values * (FULL_SCALE / np.maximum(values.max(axis=1, keepdims=True), 1e-30))
    return np.rint(np.maximum(scaled, 0)).astype(np.uint32), float((values < 0).mean())


def run_deployed(
    bundle: Path,
    counts: NDArray[np.uint32],
    labels: NDArray[np.int64],
    link: LinkProfile,
    interval_s: float,
    folder: Path,
    *,
    answers: bool = True,
    seed: int = 0,
    advance: Callable[[float], None] = lambda steps: None,
) -> Deployed:
    """Replay spectra ``(n, n_points)`` through device and gateway, with a link between device and broker.

    Acquisition begins when the device is connected. Losses and delays are the link's; the device itself asks only
    once, so that nothing is sent twice.

    Parameters
    ----------
    bundle
        Its own operating point and placement are used.
    counts, labels
        What the spectrometer gives, and the truth ``(n,)``.
    link, seed
        Between device and broker, both ways.
    interval_s
        From one spectrum to the next.
    folder
        For state and logs.
    answers
        Whether the device publishes its answers.
    advance
        Called with 1 after each final answer.

    Raises
    ------
    ChildError
        When a process fails; the message has the end of its log.
    BrokerError
        When mosquitto is not installed.
    ConfigurationError
        When the folder was used before.
    """
    logs, state, store, port = folder / "logs", folder / "state", folder / "models", folder / "spectrometer"
    if state.exists() or store.exists():
        raise ConfigurationError(f"{folder} holds state of an earlier run, expected a folder of its own")
    logs.mkdir(parents=True, exist_ok=True)
    replay = write_replay(folder / "replay.npz", counts)
    tally = Tally(labels)
    patience_s = 60.0 + 3 * interval_s + 4 * (link.retry_s + link.round_trip_ms.values[-1] / 1e3)
    with ExitStack() as running:
        broker = running.enter_context(Broker("mosquitto", folder=logs))
        shaped = running.enter_context(ShapedLink(link, broker.host, broker.port, seed=seed))
        start_gateway(running, bundle, store, broker, logs, READY_TIMEOUT_S)
        text = CONFIGURATION.format(
            site=SITE,
            device=DEVICE,
            bundle=bundle.resolve(),
            state=state,
            port=port,
            integration=INTEGRATION_S,
            # reading and judging take some of it
            interval=max(0.0, interval_s - INTEGRATION_S),
            host=shaped.host,
            broker_port=shaped.port,
            drain=patience_s,
            answers="true" if answers else "false",
        )
        configuration = write_bytes(folder / "node.toml", text.encode())
        run = ["device.cli", "run", "--config", str(configuration), "--count", str(len(labels))]
        device = running.enter_context(Child("device", run, logs))
        device.expect("bundle", READY_TIMEOUT_S)
        _wait_until_connected(shaped, device, link)
        # its port appears only now: until then the device waits for its spectrometer
        board = Child("spectrometer", ["device.cli", "simulate", str(replay), "--link", str(port)], logs)
        running.enter_context(board).expect("port", READY_TIMEOUT_S)
        began = 0.0
        while (record := device.next_record(patience_s)) is not None:
            began = began or monotonic()
            before = len(tally.finals)
            tally.add(record)
            advance(len(tally.finals) - before)
        took_s = monotonic() - began
        if (code := device.wait(READY_TIMEOUT_S)) != 0:
            raise ChildError(f"the device ended with code {code}; see {device.log_path}")
    return Deployed(tally, shaped.shaper, took_s)


def _wait_until_connected(shaped: ShapedLink, device: Child, link: LinkProfile) -> None:
    """Wait until the device has said who it is, and everything has come through."""
    deadline = monotonic() + READY_TIMEOUT_S + 10 * (link.retry_s + link.round_trip_ms.values[-1] / 1e3)
    while not (shaped.shaper.messages["up"]["birth"] and shaped.quiet_s > 1.0):
        if monotonic() > deadline:
            raise ChildError(f"the device did not connect over {link.name}; see {device.log_path}")
        sleep(0.02)
