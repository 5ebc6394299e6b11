"""The second half of the demonstration: broker, gateway, spectrometer and device as processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from specnet.demo.broker import Broker, Kind
from specnet.demo.children import Child, ChildError
from specnet.demo.gateway_child import start_gateway
from specnet.demo.model import SPLIT, DemoModel
from specnet.demo.tally import Tally
from specnet.demo.view import live_table
from specnet.files import write_bytes
from specnet.mqtt.mosquitto import mosquitto_path

READY_TIMEOUT_S = 60.0
SILENCE_TIMEOUT_S = 60.0
DEVICE_CONFIGURATION = """\
site = "demo"
device = "node-1"
bundle = "{bundle}"
state_dir = "{state}"
split = {split}

[spectrometer]
driver = "c12880ma"
port = "{port}"
integration_time_s = 0.001
interval_s = 0.002                # slow enough to be watched

[broker]
host = "{host}"
port = {broker_port}
"""


def replay(model: DemoModel, folder: Path, stage: Callable[[str], None]) -> Tally:
    """Send the held-out spectra through the serial line and count what comes out.

    Raises
    ------
    ChildError
        When one of the processes fails; the message has the end of its log.
    """
    labels = model.held_out.labels
    assert labels is not None
    tally = Tally(np.asarray(labels))
    logs, state, store, link = folder / "logs", folder / "state", folder / "models", folder / "spectrometer"
    for stale in (state, store):
        shutil.rmtree(stale, ignore_errors=True)
    logs.mkdir(parents=True, exist_ok=True)
    kind: Kind = "mosquitto" if mosquitto_path() else "amqtt"
    with ExitStack() as running:
        stage(f"starting the broker ({kind}), the gateway, a simulated spectrometer and the device")
        broker = running.enter_context(Broker(kind, folder=logs))
        start_gateway(running, model.bundle, store, broker, logs, READY_TIMEOUT_S)
        board = running.enter_context(
            Child("spectrometer", ["device.cli", "simulate", str(model.replay), "--link", str(link)], logs)
        )
        board.expect("port", READY_TIMEOUT_S)
        text = DEVICE_CONFIGURATION.format(
            bundle=model.bundle, state=state, split=SPLIT, port=link, host=broker.host, broker_port=broker.port
        )
        configuration = write_bytes(folder / "node.toml", text.encode())
        run = ["device.cli", "run", "--config", str(configuration), "--count", str(len(labels))]
        device = running.enter_context(Child("device", run, logs))
        device.expect("bundle", READY_TIMEOUT_S)
        show = running.enter_context(live_table(tally, model.held_out.class_names))
        while (record := device.next_record(SILENCE_TIMEOUT_S)) is not None:
            tally.add(record)
            show(record)
        if (code := device.wait(READY_TIMEOUT_S)) != 0:
            raise ChildError(f"the device ended with code {code}; see {device.log_path}")
    return tally
