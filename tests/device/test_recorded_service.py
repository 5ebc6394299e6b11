"""The journal as the real device keeps it: history, flags, drops, full disks, kills, wrong clocks."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support_broker import Broker
from support_device import ROOT, DeviceProcess, EchoGateway, serving

from device.config import load_device_configuration
from device.journal.history import History
from device.service import DeviceService
from device.spectrometers.instrument import Instrument
from device.spectrometers.quality import Quality
from device.spectrometers.simulator import SimulatedBoard

KILLS = 4


def settings_of(folder: Path, bundle: Path, broker: Broker, **changes: object) -> dict[str, Any]:
    defaults = {
        "device": "node-1",
        "site": "lab",
        "bundle": str(bundle),
        "state_dir": str(folder / "state"),
        "seed": 1,
        "split": 1,
        "spectrometer.port": str(folder / "spectrometer"),
        "spectrometer.timeout_s": 5.0,
        "uplink.retry_s": 0.2,
        "uplink.retry_max_s": 0.5,
        "broker.host": broker.host,
        "broker.port": broker.port,
        "broker.reconnect_min_s": 0.05,
        "broker.reconnect_max_s": 0.2,
    }
    return {**defaults, **{name.replace("__", "."): value for name, value in changes.items()}}


def device(settings: dict[str, Any], *options: object) -> DeviceProcess:
    return DeviceProcess("run", *(item for kv in settings.items() for item in ("--set", "{}={}".format(*kv))), *options)


def history(settings: dict[str, Any], *options: object) -> subprocess.CompletedProcess[str]:
    chosen = [item for kv in settings.items() for item in ("--set", "{}={}".format(*kv))]
    return subprocess.run(
        [sys.executable, "-m", "device", "history", *chosen, *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def board_of(spectra: NDArray[Any], folder: Path, *, loop: bool = False) -> SimulatedBoard:
    return SimulatedBoard(spectra.astype(np.uint32), link=folder / "spectrometer", loop=loop)


def finals(process: DeviceProcess) -> list[dict[str, Any]]:
    return [record for record in list(process.records) if record.get("final")]


def test_history_is_read_while_the_device_runs_and_afterwards(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    settings = settings_of(tmp_path, tiny_bundle, broker, split=3, spectrometer__interval_s=0.005)
    with serving(board_of(intensity, tmp_path, loop=True)), device(settings) as process:
        process.wait_for(lambda: len(finals(process)) >= 10, "ten answers")
        done = history(settings, "--last", 5, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert len(document["answers"]) == 5
        assert document["accounts"]["answered"] >= 10
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.errors
    said = {record["sequence"]: record for record in finals(process)}
    kept = json.loads(history(settings, "--last", 10_000, "--json").stdout)["answers"]
    assert [entry["sequence"] for entry in kept] == sorted(said)
    for entry in kept:
        record = said[entry["sequence"]]
        names = ("label", "class", "probability", "exit", "known", "source", "latency_ms", "macs", "flags")
        assert {name: entry[name] for name in names} == {name: record[name] for name in names}
        assert abs(entry["acquired"] - time.time()) < 600
    table = list(csv.DictReader(io.StringIO(history(settings, "--last", 3, "--csv").stdout)))
    assert [int(row["sequence"]) for row in table] == sorted(said)[-3:]
    text = history(settings, "--last", 2).stdout
    assert kept[-1]["class"] in text
    assert f"answered {len(said)}" in text


@pytest.mark.parametrize(
    ("options", "complaint"),
    [((), "no journal at"), (("--last", 0), "--last is 1 to"), (("--csv", "--json"), "--csv and --json")],
)
def test_mistakes_with_history_are_one_line(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, options: tuple[object, ...], complaint: str
) -> None:
    done = history(settings_of(tmp_path, tiny_bundle, broker), *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr


def test_flagged_spectra_are_recorded_and_rejected_and_callbacks_hear_everything(
    broker: Broker,
    tmp_path: Path,
    tiny_bundle: Path,
    intensity: NDArray[np.uint16],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flags are put onto the readings of a real board."""
    repaired = Quality.PIXELS_REPAIRED
    flags = {0: Quality.SATURATED, 1: Quality.LOW_SIGNAL | repaired, 2: repaired}
    read = Instrument.read
    readings = iter(range(100))
    monkeypatch.setattr(
        Instrument, "read", lambda self: replace(read(self), flags=flags.get(next(readings), Quality(0)))
    )
    told: list[dict[str, Any]] = []

    def on_answer(record: Any) -> None:
        told.append(dict(record))
        if len(told) == 2:
            raise RuntimeError("a callback's own trouble")

    settings = settings_of(tmp_path, tiny_bundle, broker, split=3, uplink__drain_s=0)
    configuration = load_device_configuration(None, settings, {})
    with serving(board_of(intensity[:6], tmp_path)), (tmp_path / "records").open("w") as stream:
        service = DeviceService(configuration, stream, threading.Event(), on_answer)
        assert service.run() == 0
    assert [record["type"] for record in told] == ["rejected", "rejected", *["answer"] * 4]
    assert [record["flags"] for record in told] == [
        ["saturated"],
        ["low_signal", "pixels_repaired"],
        ["pixels_repaired"],
        [],
        [],
        [],
    ]
    assert "low_signal" in told[1]["reason"]
    written = [json.loads(line) for line in (tmp_path / "records").read_text().splitlines()]
    assert [record for record in written if record.get("final")] == told
    kept = History(configuration.journal_path)
    assert [entry["outcome"] for entry in kept.last(10)] == ["rejected", "rejected", *["answered"] * 4]
    assert (kept.accounts()["rejected"], kept.accounts()["recorded"]) == (2, 6)
    kept.close()


def test_once_takes_one_spectrum_from_the_instrument(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    settings = settings_of(tmp_path, tiny_bundle, broker, split=3)
    with serving(board_of(intensity[:3], tmp_path)):
        for options, expected in ((("--once",), 1), (("--count", 2), 2), ((), 0)):
            with device(settings, *options) as process:
                assert process.wait() == 0, process.errors
            [summary] = process.of_type("summary")
            assert (summary["spectra"], summary["acquisition"].get("accepted", 0)) == (expected, expected)


def test_spectra_dropped_for_newer_ones_are_in_the_books(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    settings = settings_of(tmp_path, tiny_bundle, broker, split=3, acquisition__when_full="drop", acquisition__queue=1)
    with serving(board_of(intensity, tmp_path, loop=True)), device(settings, "--count", 40) as process:
        assert process.wait(60) == 0, process.errors
    [summary] = process.of_type("summary")
    accounts = summary["accounts"]
    assert accounts["answered"] == summary["spectra"] == 40
    assert accounts["dropped"] == len(process.of_type("dropped")) == summary["dropped_unread"]
    assert accounts["recorded"] == 40 + accounts["dropped"]


def test_a_disk_that_becomes_full_stops_nothing_and_is_forgotten_when_there_is_space_again(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    """RLIMIT_FSIZE set on the running process: its files may not grow, and then they may again."""
    settings = settings_of(tmp_path, tiny_bundle, broker, history__flush_s=0.1)
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    gateway = EchoGateway(broker)
    with (
        serving(board_of(intensity, tmp_path, loop=True)),
        device(settings) as process,
    ):

        def flagged() -> list[dict[str, Any]]:
            return [record for record in finals(process) if "not_recorded" in record["flags"]]

        process.wait_for(lambda: len(finals(process)) >= 20, "some answers")
        limit = max(file.stat().st_size for file in (tmp_path / "state").iterdir())
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        process.wait_for(lambda: len(flagged()) >= 20, "answers go on without the disk")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        last = max(record["sequence"] for record in flagged())
        process.wait_for(
            lambda: any(r["sequence"] > last + 50 and "not_recorded" not in r["flags"] for r in finals(process)),
            "answers are recorded again",
        )
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.errors
    gateway.stop()
    [summary] = process.of_type("summary")
    accounts = dict(summary["accounts"])
    recorded = accounts.pop("recorded")
    assert recorded == sum(accounts.values())
    assert accounts["open"] == 0
    n_spectra = summary["acquisition"]["accepted"]
    assert recorded + summary["journal"]["not_recorded"] == n_spectra
    said = {record["sequence"] for record in finals(process)}
    assert len(said) == n_spectra - accounts["pending"]
    assert sum("cannot be written" in line for line in process.errors) < 20


def test_killed_at_random_moments_with_the_broker_coming_and_going_the_books_agree(
    broker: Broker, tmp_path: Path, tiny_bundle: Path, intensity: NDArray[np.uint16]
) -> None:
    generator = random.Random(3)
    settings = settings_of(
        tmp_path,
        tiny_bundle,
        broker,
        uplink__deadline_s=0.1,
        uplink__audit_rate=0.2,
        history__flush_s=0.05,
        spectrometer__interval_s=0.002,
    )
    said: dict[tuple[int, int], str] = {}

    def take_note(process: DeviceProcess) -> None:
        for record in finals(process):
            what = str(record.get("label", record["type"]))
            assert said.setdefault((record["boot"], record["sequence"]), what) == what, "said twice, it says the same"

    gateway = EchoGateway(broker)
    for n in range(KILLS):
        with serving(board_of(intensity, tmp_path, loop=True)), device(settings) as process:
            process.wait_for(lambda p=process: finals(p), "the first answer")
            if n % 2:
                broker.kill()
            time.sleep(generator.uniform(0.0, 0.7))
            process.signal(signal.SIGKILL)
            process.wait()
        if n % 2:
            broker.start()
        take_note(process)
    with serving(board_of(intensity[:5], tmp_path)), device(settings, "--count", 5) as process:
        assert process.wait(60) == 0, process.errors
    gateway.stop()
    take_note(process)
    assert process.of_type("ready")[0]["after"] == "killed"
    [summary] = process.of_type("summary")
    accounts = dict(summary["accounts"])
    recorded = accounts.pop("recorded")
    assert recorded == sum(accounts.values())
    assert (accounts["pending"], accounts["open"]) == (0, 0)
    kept = History(load_device_configuration(None, settings, {}).journal_path)
    in_journal = {
        (entry["boot"], entry["sequence"]): entry["outcome"] if entry["label"] is None else str(entry["label"])
        for entry in kept.last(100_000)
    }
    kept.close()
    assert in_journal == said, "what the journal holds was said, and nothing else"
    assert recorded == len(said)


def test_the_password_comes_from_the_environment(broker: Broker, tmp_path: Path, tiny_bundle: Path) -> None:
    settings = settings_of(tmp_path, tiny_bundle, broker, broker__username="node", broker__password_env="NODE_PASSWORD")
    chosen = [item for kv in settings.items() for item in ("--set", "{}={}".format(*kv))]
    done = subprocess.run(
        [sys.executable, "-m", "device", "run", *chosen],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "NODE_PASSWORD"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "'NODE_PASSWORD' (password_env) is not set" in done.stderr
