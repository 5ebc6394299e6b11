"""A node that chooses its operating point, behind a link that becomes slow and recovers; every process is real."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support_broker import Broker, Inbox, connected_session, wait_until
from support_device import DeviceProcess
from support_gateway import GatewayProcess
from support_path import BUNDLE, DEVICE, SITE, Board, Recording, make_recording
from support_points import prediction, with_points

from specnet.bundle import read_bundle, write_bundle
from specnet.demo.shaped_link import ShapedLink
from specnet.placement import LinkFigures, Placement
from specnet.profiles import LINK_PRESETS, LinkProfile, Quantiles
from specnet.wire import Command, PointInForce, State, Topics, decode, encode

N = 1000
GOOD_MS, SLOW_MS = 5.0, 2500.0
TUNED_FOR = LinkFigures("test link", 50.0, 1e8, 100)
TOPICS = Topics(SITE, DEVICE)


def link_of(round_trip_ms: float) -> LinkProfile:
    """As wide as ethernet, and with this round trip for everything that is asked."""
    return msgspec.structs.replace(
        LINK_PRESETS["ethernet"], name="test link", loss=0.0, round_trip_ms=Quantiles.constant(round_trip_ms)
    )


@pytest.fixture(scope="module")
def recording() -> Recording:
    return make_recording(N)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture's bundle with a point that sends at split 1, and one that sends nothing."""
    bundle = read_bundle(BUNDLE)
    placements = {
        "chosen": Placement(1, "float16", prediction(0.95, 4000.0, link=TUNED_FOR)),
        "local": Placement(3, "", prediction(0.85, 0.0, link=TUNED_FOR)),
    }
    path = tmp_path_factory.mktemp("tuned") / "model.specnet"
    write_bundle(path, with_points(bundle.manifest, placements), bundle.files)
    return path


def node(folder: Path, bundle: Path, port: int, board: Board, **settings: object) -> DeviceProcess:
    defaults: dict[str, object] = {
        "site": SITE,
        "device": DEVICE,
        "seed": 1,
        "operating_point": "auto",
        "spectrometer.interval_s": 0.018,
        "spectrometer.integration_time_s": 0.001,
        "spectrometer.timeout_s": 30.0,
        "uplink.retry_s": 30.0,
        "uplink.retry_max_s": 60.0,
        "uplink.deadline_s": 60.0,
        "uplink.answers": "false",
        "choosing.window_s": 3.0,
        "choosing.dwell_s": 1.0,
        "choosing.probe_s": 0.3,
        "choosing.patience_ms": 1000.0,
    }
    chosen = defaults | {name.replace("__", "."): value for name, value in settings.items()}
    assignments = [item for name, value in chosen.items() for item in ("--set", f"{name}={value}")]
    where = ("--bundle", bundle, "--state-dir", folder / "state", "--port", board.link)
    return DeviceProcess("run", *where, "--broker", f"127.0.0.1:{port}", *assignments)


def changes(process: DeviceProcess) -> list[tuple[str, str]]:
    return [(record["previous"], record["point"]) for record in process.of_type("operating_point")]


def store_of(folder: Path, bundle: Path) -> Path:
    path = folder / "store" / "tiny" / "1" / "model.specnet"
    path.parent.mkdir(parents=True)
    path.write_bytes(bundle.read_bytes())
    return folder / "store"


def test_a_node_leaves_a_slow_link_and_comes_back_without_losing_a_spectrum(
    broker: Broker, tmp_path: Path, tuned: Path, recording: Recording
) -> None:
    states = Inbox()
    watcher = connected_session(broker, "watcher", TOPICS.state, on_message=states)
    with (
        GatewayProcess(store_of(tmp_path, tuned), broker) as gateway,
        ShapedLink(link_of(GOOD_MS), broker.host, broker.port) as shaped,
        Board(recording, tmp_path) as board,
    ):
        gateway.wait_healthy()
        with node(tmp_path, tuned, shaped.port, board) as process:
            process.wait_for(lambda: len(process.of_type("answer")) > 50, "the first answers")
            assert changes(process) == []
            shaped.shaper.link = link_of(SLOW_MS)
            process.wait_for(lambda: changes(process) == [("chosen", "local")], "the slow link is left")
            shaped.shaper.link = link_of(GOOD_MS)
            process.wait_for(lambda: len(changes(process)) == 2, "the link that is good again is used")
            back = process.of_type("operating_point")[1]["sequence"]
            process.wait_for(
                lambda: any(r["source"] == "gateway" and r["sequence"] > back for r in process.of_type("answer")),
                "the gateway answers again",
            )
            assert process.wait(90.0) == 0, process.errors[-5:]
    assert changes(process) == [("chosen", "local"), ("local", "chosen")]
    left, came_back = process.of_type("operating_point")
    assert 0 < left["sequence"] < came_back["sequence"] < N
    assert (left["split"], came_back["split"]) == (3, 1)
    assert left["why"].startswith(("round trips of ", "no result for "))
    assert came_back["measured"]["trips"] >= 3
    _check_answers(process, recording, left["sequence"], came_back["sequence"])
    [summary] = process.of_type("summary")
    assert summary["choosing"]["changes"] == 2
    assert summary["choosing"]["probes"] >= 3
    assert summary["choosing"]["spectra_at_local"] == came_back["sequence"] - left["sequence"]
    assert any("operating point local in place of chosen" in line for line in process.errors)
    wait_until(lambda: decode(State, states.payloads[-1]).status == "offline", "the node says goodbye")
    standing = [PointInForce.from_reason(decode(State, payload).reason) for payload in states.payloads]
    told = [(one.name, one.sequence, one.why) for one in standing if one is not None]
    assert list(dict.fromkeys(told)) == [
        ("chosen", 0, "configured"),
        ("local", left["sequence"], left["why"]),
        ("chosen", came_back["sequence"], came_back["why"]),
    ]
    watcher.stop()


def _check_answers(process: DeviceProcess, recording: Recording, left: int, back: int) -> None:
    """One final answer each; the gateway's where a point sends, the whole network's on the device where none does."""
    finals = [record for record in process.of_type("answer") if record["final"]]
    assert Counter(record["sequence"] for record in finals) == Counter(range(len(recording)))
    assert process.of_type("summary")[0]["lost"] == 0
    uncertain = set(recording.uncertain)
    away = range(left, back)
    wrong = 0
    for record in finals:
        sequence: int = record["sequence"]
        asked = sequence in uncertain and sequence not in away
        assert record["source"] == ("gateway" if asked else "device"), record
        wrong += record["label"] != recording.predicted[sequence]
    assert wrong <= 0.01 * len(recording), "features as float16 may turn a tie"
    assert len(uncertain.intersection(away)) > 0


def test_a_command_names_the_point_and_auto_chooses_again(
    broker: Broker, tmp_path: Path, tuned: Path, recording: Recording
) -> None:
    with (
        GatewayProcess(store_of(tmp_path, tuned), broker) as gateway,
        Board(recording, tmp_path) as board,
        node(tmp_path, tuned, broker.port, board, choosing__dwell_s=3600, choosing__dwell_max_s=3600) as process,
    ):
        gateway.wait_healthy()
        commander = connected_session(broker, "commander")
        process.wait_for(lambda: len(process.of_type("answer")) > 20, "the first answers")
        for index, point in enumerate(["local", "accurate", "auto"], start=1):
            assert commander.publish(TOPICS.command, encode(Command(operating_point=point)))
            process.wait_for(lambda n=index: len(process.of_type("operating_point")) == n, f"{point} is in force")
            before = len(process.of_type("answer"))
            process.wait_for(lambda n=before: len(process.of_type("answer")) > n + 20, "answers at this point")
        assert commander.publish(TOPICS.command, encode(Command(operating_point="no such point")))
        process.wait_for(lambda: not process.of_type("command")[-1]["obeyed"], "a mistake is refused")
        commander.stop()
    assert changes(process) == [("chosen", "local"), ("local", "accurate"), ("accurate", "chosen")]
    records: list[dict[str, Any]] = process.of_type("operating_point")
    assert [record["split"] for record in records] == [3, 1, 1]
    assert all(record["commanded"] for record in records)
    at_local = [
        record
        for record in process.of_type("answer")
        if records[0]["sequence"] < record["sequence"] < records[1]["sequence"]
    ]
    assert {record["source"] for record in at_local} == {"device"}
    assert np.mean([record["label"] == recording.predicted[record["sequence"]] for record in at_local]) == 1.0
