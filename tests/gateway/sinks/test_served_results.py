"""A gateway process with a real broker, and what it keeps: in order, down, killed."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_broker import Broker, Inbox, connected_session, wait_until
from support_bundle import CLASSES, DeviceSide, spectra
from support_gateway import DeviceEnd, GatewayProcess, run_cli
from support_sinks import ids, rows, spooled

from specnet.codec import RAW, EncodedFeatures, pack_spectrum
from specnet.wire import OffloadRequest, Result

QUICK = {
    "SPECNET_GATEWAY_SINK__RETRY_MIN_S": "0.02",
    "SPECNET_GATEWAY_SINK__RETRY_MAX_S": "0.1",
    "SPECNET_GATEWAY_SINK__SPOOL__GATHER_S": "0.02",
}


@pytest.fixture
def device(broker: Broker) -> Iterator[DeviceEnd]:
    with DeviceEnd(broker) as end:
        yield end


@pytest.fixture
def state(store: Path) -> Path:
    return store.with_name("gateway-state")


@pytest.fixture
def results(state: Path) -> Path:
    return state / "results.sqlite"


def raw_request(device_side: DeviceSide, spectrum: np.ndarray, sequence: int) -> OffloadRequest:
    """A request with the spectrum itself."""
    request, data = device_side.request(spectrum, sequence, split=0), pack_spectrum(spectrum)
    return msgspec.structs.replace(request, features=EncodedFeatures(RAW, None, data, zlib.crc32(data)))


def answers(found: list) -> list[tuple[int, int, int, int]]:
    return [(row["sequence"], row["label"], row["exit_index"], row["macs"]) for row in found]


def said(given: list[Result]) -> list[tuple[int, int, int, int]]:
    return [(result.sequence, result.label, result.exit_index, result.macs) for result in given]


def test_by_default_every_answer_is_in_a_database_of_the_state_folder(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide, results: Path
) -> None:
    measured = spectra(30, seed=8)
    requests = [raw_request(device_side, x, i) for i, x in enumerate(measured[:10])]
    requests += [device_side.request(x, 10 + i, split=1) for i, x in enumerate(measured[10:])]
    with GatewayProcess(store, broker, **QUICK) as gateway:
        gateway.wait_healthy()
        given = device.ask(*requests)
        for request in requests[:5]:
            device.send(request)
        gateway.wait_metric("duplicates_total", 5)
        gateway.wait_metric("sink_records_total", 30, sink="sqlite")
        assert gateway.metric("sink_spool_rows") == 0
    found = rows(results)
    assert answers(found) == said(given)
    assert [row["class_name"] for row in found] == [CLASSES[result.label] for result in given]
    assert [bool(row["spectrum"]) for row in found] == [True] * 10 + [False] * 20


def test_sigterm_leaves_nothing_behind_in_memory(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide, results: Path
) -> None:
    slow = {**QUICK, "SPECNET_GATEWAY_SINK__SPOOL__GATHER_S": "60"}
    requests = [device_side.request(x, i) for i, x in enumerate(spectra(12))]
    with GatewayProcess(store, broker, **slow) as gateway:
        gateway.wait_healthy()
        given = device.ask(*requests)
        assert rows(results) == []
        assert gateway.terminate() == 0
    assert answers(rows(results)) == said(given)


def test_killed_while_the_sink_is_down_everything_spooled_arrives_once(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide, state: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "database"
    blocked.write_text("a file where a folder should be")
    path = blocked / "results.sqlite"
    requests = [device_side.request(x, i) for i, x in enumerate(spectra(60, seed=2))]
    with GatewayProcess(store, broker, SPECNET_GATEWAY_SINK__SQLITE__PATH=str(path), **QUICK) as gateway:
        for part in (requests[:30], requests[30:]):
            gateway.wait_healthy()
            device.ask(*part)
            sent = part[-1].sequence + 1
            wait_until(lambda: gateway.metric("sink_spool_rows") == sent, "all are spooled")  # noqa: B023
            gateway.wait_metric("sink_failures_total", 1, sink="sqlite")
            gateway.kill()
            assert sorted(one.sequence for one in spooled(state)) == list(range(sent))
            gateway.start()
        blocked.unlink()
        gateway.wait_metric("sink_records_total", 60, sink="sqlite")
    assert [row["sequence"] for row in rows(path)] == list(range(60))
    assert spooled(state) == []


def test_killed_at_any_moment_what_was_spooled_or_kept_is_kept_once(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide, state: Path, results: Path
) -> None:
    measured, generator = spectra(40, seed=6), np.random.default_rng(3)
    certain: set[tuple] = set()
    with GatewayProcess(store, broker, **QUICK) as gateway:
        for attempt in range(5):
            gateway.wait_healthy()
            for number, spectrum in enumerate(measured):
                device.send(raw_request(device_side, spectrum, 100 * attempt + number))
            answered = int(generator.integers(1, 35))
            wait_until(
                lambda: sum(100 * attempt <= one.sequence for one in device.results) >= answered,  # noqa: B023
                "some are answered",
            )
            wait_until(lambda: any(row["sequence"] >= 100 * attempt for row in rows(results)), "some are kept")  # noqa: B023
            gateway.kill()
            certain |= {tuple(one.id) for one in spooled(state)} | {tuple(one) for one in ids(rows(results))}
            gateway.start()
        gateway.wait_healthy()
        device.ask(raw_request(device_side, measured[0], 999))
        wait_until(lambda: any(row["sequence"] == 999 for row in rows(results)), "the last one is kept")
        assert gateway.terminate() == 0
    found = [tuple(one) for one in ids(rows(results))]
    assert len(found) == len(set(found))
    assert certain <= set(found)
    assert len(certain) >= 5
    assert spooled(state) == []


def test_records_on_a_topic_can_be_read_by_another_program(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide
) -> None:
    inbox = Inbox()
    reader = connected_session(broker, "reader", "plant/results", on_message=inbox)
    topic = {"SPECNET_GATEWAY_SINK__KIND": "mqtt", "SPECNET_GATEWAY_SINK__MQTT__TOPIC": "plant/results"}
    with GatewayProcess(store, broker, **topic, **QUICK) as gateway:
        gateway.wait_healthy()
        given = device.ask(*(raw_request(device_side, x, i) for i, x in enumerate(spectra(5))))
        inbox.wait(5)
    reader.stop()
    documents = sorted((json.loads(payload) for payload in inbox.payloads), key=lambda one: one["sequence"])
    assert answers(documents) == said(given)
    assert documents[0]["source"]["quantity"] == "channel"
    assert base64.b64decode(documents[0]["spectrum"]) == pack_spectrum(spectra(5)[0])


def test_no_sink_keeps_nothing_and_needs_no_folder(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide, state: Path
) -> None:
    with GatewayProcess(store, broker, SPECNET_GATEWAY_SINK__KIND="none") as gateway:
        gateway.wait_healthy()
        device.ask(device_side.request(spectra(1)[0], 1))
    assert not state.exists()


def test_spectra_kept_in_day_files_are_there_when_the_gateway_has_stopped(
    store: Path, broker: Broker, device: DeviceEnd, device_side: DeviceSide, state: Path
) -> None:
    from specnet.datasets import read_spectra

    measured = spectra(8, seed=1)
    with GatewayProcess(store, broker, SPECNET_GATEWAY_SINK__KIND="hdf5", **QUICK) as gateway:
        gateway.wait_healthy()
        given = device.ask(*(raw_request(device_side, x, i) for i, x in enumerate(measured)))
        device.ask(device_side.request(measured[0], 100, split=1))
        gateway.wait_metric("sink_dropped_total", 1, reason="no_example")
        assert gateway.terminate() == 0
    [path] = (state / "spectra").glob("*.h5")
    assert path.name.startswith(time.strftime("20"))
    table = read_spectra(path)
    order = np.argsort(table.columns["sequence"])
    assert np.array_equal(table.intensity[order], measured)
    assert table.columns["predicted_nearest"][order].tolist() == [CLASSES[result.label] for result in given]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SINK__KIND": "paper"}, "sink.kind: invalid enum value 'paper'"),
        ({"SINK__BATCH": "0"}, "sink.batch is from 1 to 10000, got 0"),
        ({"SINK__SPOOL__MAX_ROWS": "0"}, "sink.spool.max_rows is from 1"),
        ({"SINK__KIND": "postgresql"}, "sink.postgresql.dsn (or dsn_file, dsn_env) has nothing"),
        ({"SINK__POSTGRESQL__DSN": "postgresql://me:geheim@db/specnet"}, "dsn has a password"),
        ({"SINK__POSTGRESQL__DSN": "host=db password = geheim"}, "dsn has a password"),
        ({"SINK__KIND": "postgresql", "SINK__POSTGRESQL__DSN_ENV": "NOT_SET"}, "variable 'NOT_SET' has nothing"),
        ({"SINK__KIND": "postgresql", "SINK__POSTGRESQL__DSN_FILE": "/not/there"}, "cannot read sink.postgresql.dsn_f"),
        ({"SINK__MQTT__TOPIC": "results/#"}, "sink.mqtt.topic: a topic to publish to has no wildcard"),
        ({"SINK__MQTT__TOPIC": "specnet/v1/lab/a/offload/b/0"}, "sink.mqtt.topic is not below specnet/v1/"),
        ({"STATE_DIR": "/dev/null/state"}, "spool /dev/null/state/spool-1.sqlite cannot be used"),
    ],
)
def test_a_sink_that_cannot_be_is_one_line_and_exit_code_2(
    store: Path, environment: dict[str, str], message: str
) -> None:
    named = {f"SPECNET_GATEWAY_{name}": value for name, value in environment.items()}
    named.setdefault("SPECNET_GATEWAY_STATE_DIR", str(store.with_name("state")))
    done = run_cli("serve", "--store", store, **named)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("specnet-gateway: ")]
    assert message in line
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr
