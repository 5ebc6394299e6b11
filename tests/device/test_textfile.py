"""The metrics file is what Prometheus reads, whatever the labels are, and has the numbers of the summary."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support_device import DeviceProcess, serving

from device.exposition import Family, one, render
from device.spectrometers.simulator import SimulatedBoard
from device.textfile import Snapshot, TextFile, TextFileSettings
from specnet.errors import ConfigurationError

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is part of the extra gateway")

SNAPSHOT = Snapshot(
    boot=3,
    started=1e9,
    connected=True,
    waiting=2,
    waiting_bytes=300,
    answers={"local": 5, "gateway": 2, "rejected": 1},
    spectrometer={"read": 8},
    uplink={},
    models={"activated": 1},
    model={"name": "tiny", "version": "2", "bundle": "0123", "stage": "trial"},
)


def parse(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    return {
        family.name: {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in parser.text_string_to_metric_families(text)
    }


@settings(max_examples=200, deadline=None, database=None)
@given(
    label=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30),
    value=st.floats(allow_nan=False),
    help_text=st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=30),
)
def test_what_is_written_is_read(label: str, value: float, help_text: str) -> None:
    text = render([Family("a_total", "counter", help_text, (({"event": label}, value),)), one("b", "gauge", "B.", 1)])
    assert parse(text) == {"a": {(("event", label),): value}, "b": {(): 1.0}}


def test_numbers_that_are_none_are_written_as_such() -> None:
    found = parse(render([one("a", "gauge", "A.", math.nan), one("b", "gauge", "B.", -math.inf)]))
    assert math.isnan(found["a"][()])
    assert found["b"][()] == -math.inf


def test_names_of_metrics_are_documented_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "specnet.prom"
    TextFile(TextFileSettings(path=str(path))).write(SNAPSHOT)
    found = parse(path.read_text())
    assert list(found) == [
        "specnet_device_boot",
        "specnet_device_start_time_seconds",
        "specnet_device_connected",
        "specnet_device_outbox_requests",
        "specnet_device_outbox_bytes",
        "specnet_device_answers",
        "specnet_device_rejected",
        "specnet_device_provisional",
        "specnet_device_dropped",
        "specnet_device_spectrometer_events",
        "specnet_device_models_events",
        "specnet_device_model_info",
    ]
    assert found["specnet_device_answers"][(("source", "gateway"),)] == 2
    [labels] = found["specnet_device_model_info"]
    assert dict(labels) == SNAPSHOT.model
    assert [file.name for file in tmp_path.iterdir()] == ["specnet.prom"]


def test_a_folder_that_is_not_there_for_long_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    textfile = TextFile(TextFileSettings(path=str(tmp_path / "file" / "x.prom")))
    assert textfile.due
    textfile.write(SNAPSHOT)
    textfile.write(SNAPSHOT)
    assert caplog.text.count("cannot be written") == 1
    assert not textfile.due


@pytest.mark.parametrize("bad", [{"path": "x.txt"}, {"interval_s": 0.0}, {"interval_s": math.nan}])
def test_settings_are_checked(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"textfile\."):
        TextFileSettings(**bad)


def test_without_a_path_nothing_is_written() -> None:
    assert not TextFile(TextFileSettings()).due


def test_a_device_writes_what_its_summary_says(
    tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    path = tmp_path / "specnet.prom"
    values = {
        "device": "node-1",
        "uplink.drain_s": 0,
        "broker.port": 1,
        "spectrometer.interval_s": 0.01,
        "textfile.path": path,
        "textfile.interval_s": 0.1,
    }
    words = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    with (
        serving(SimulatedBoard(intensity.astype(np.uint32), loop=True)) as board,
        DeviceProcess(
            "run", "--bundle", tiny_bundle, "--state-dir", tmp_path / "s", "--port", board.port, *words
        ) as process,
    ):
        process.wait_for(path.exists, "the first writing")
        process.wait_for(lambda: process.of_type("answer"), "answers")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    [summary] = process.of_type("summary")
    found = parse(path.read_text())
    assert found["specnet_device_answers"][(("source", "device"),)] == summary["local"] > 0
    assert found["specnet_device_outbox_requests"][()] == summary["lost"]
    assert found["specnet_device_spectrometer_events"][(("event", "read"),)] == summary["spectra"]
    assert found["specnet_device_connected"][()] == 0
