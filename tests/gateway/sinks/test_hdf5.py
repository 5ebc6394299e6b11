"""Day files: readable whenever the process dies, and complete."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from support_sinks import AXIS, OTHER_AXIS, OTHER_SOURCE, SOURCE, counts, failed, record, records, spooled

from gateway.sinks.hdf5 import Hdf5Sink
from gateway.sinks.registry import create_recorder
from gateway.sinks.settings import Hdf5Settings, SinkSettings
from gateway.sinks.staging import FILE_NAME, Staging
from specnet.datasets import read_spectra
from specnet.datasets.answered import ORIGIN
from specnet.errors import SinkDownError, SinkRefusedError
from specnet.mqtt import BrokerSettings

ROOT = Path(__file__).resolve().parents[3]
DAY = "2026-03-05"
NEXT_DAY = "2026-03-06T00:00:00.000+00:00"
KILLS = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spectra"


@pytest.fixture
def sink(folder: Path) -> Iterator[Hdf5Sink]:
    sink = Hdf5Sink(folder, 1 << 26, 0.0)
    yield sink
    sink.close()


def day_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.h5"))


def sequences_in(folder: Path) -> list[int]:
    """Numbers of all spectra of all files; each file has to be readable."""
    return [int(n) for path in sorted(folder.glob("*.h5")) for n in read_spectra(path).columns["sequence"]]


def test_a_day_file_is_an_ordinary_file_of_spectra_whose_answers_are_no_labels(sink: Hdf5Sink, folder: Path) -> None:
    sink.write([record(1), record(2, known=False, probability=0.3), record(3, audit=True)])
    sink.tend()
    assert day_files(folder) == [f"{DAY}-{SOURCE.id}.h5"]
    table = read_spectra(folder / f"{DAY}-{SOURCE.id}.h5")
    assert table.axis == AXIS
    assert (table.intensity == np.stack([counts(1), counts(2), counts(3)])).all()
    assert table.intensity.dtype == np.uint16
    assert (table.labels, table.intensity_unit, table.provenance["origin"]) == (None, "counts", ORIGIN)
    columns = table.columns
    assert columns["predicted_label"].tolist() == ["calcite", "", "quartz"]
    assert columns["predicted_nearest"].tolist() == ["calcite", "gypsum", "quartz"]
    assert columns["predicted_probability"].tolist() == [0.75, 0.3, 0.75]
    assert columns["known"].tolist() == [True, False, True]
    assert columns["audit"].tolist() == [False, False, True]
    assert set(columns["session_id"]) == {"lab/probe-1/7"}
    assert set(columns["answered_at"]) == {record(1).time}


def test_only_raw_spectra_with_an_answer_are_kept(sink: Hdf5Sink, folder: Path) -> None:
    sink.write([record(1), record(2, source=None), failed(record(3))])
    sink.tend()
    assert sequences_in(folder) == [1]


def test_days_and_axes_have_files_of_their_own(sink: Hdf5Sink, folder: Path) -> None:
    sink.write([record(1), record(2, source=OTHER_SOURCE), record(3, time=NEXT_DAY)])
    sink.tend()
    assert day_files(folder) == sorted(
        [f"{DAY}-{SOURCE.id}.h5", f"{DAY}-{OTHER_SOURCE.id}.h5", f"2026-03-06-{SOURCE.id}.h5"]
    )
    assert read_spectra(folder / f"{DAY}-{OTHER_SOURCE.id}.h5").axis == OTHER_AXIS


def test_a_repeated_record_is_kept_once_also_after_a_restart_and_after_its_file_was_finished(folder: Path) -> None:
    for _ in range(3):
        sink = Hdf5Sink(folder, 1 << 26, 0.0)
        # the day is long past, so its file is finished as soon as it is written
        sink.write(records(5))
        sink.tend()
        sink.write(records(6))
        sink.close()
    assert sorted(sequences_in(folder)) == [0, 1, 2, 3, 4, 5]


def test_a_file_that_the_database_does_not_know_is_never_overwritten(folder: Path) -> None:
    sink = Hdf5Sink(folder, 1 << 26, 0.0)
    sink.write(records(3))
    sink.close()
    (folder / FILE_NAME).unlink()
    sink = Hdf5Sink(folder, 1 << 26, 0.0)
    sink.write(records(3, first=3))
    sink.close()
    assert day_files(folder) == [f"{DAY}-{SOURCE.id}-2.h5", f"{DAY}-{SOURCE.id}.h5"]
    assert sorted(sequences_in(folder)) == [0, 1, 2, 3, 4, 5]


def test_a_file_that_has_reached_its_size_is_followed_by_another(folder: Path) -> None:
    per_file = 10
    sink = Hdf5Sink(folder, per_file * 4 * AXIS.n_points, 1e9)
    sink.write(records(25))
    sink.close()
    sizes = {path.name: read_spectra(path).n_spectra for path in folder.glob("*.h5")}
    name = f"{DAY}-{SOURCE.id}"
    assert sizes == {f"{name}.h5": 10, f"{name}-2.h5": 10, f"{name}-3.h5": 5}


def test_a_growing_file_is_written_when_it_is_time_and_at_the_end(folder: Path) -> None:
    now = [0.0]
    sink = Hdf5Sink(folder, 1 << 26, 60.0, clock=lambda: now[0])
    sink.write(records(1))
    sink.tend()
    sink.write(records(2))
    sink.tend()
    assert len(sequences_in(folder)) == 1
    now[0] = 61.0
    sink.tend()
    assert len(sequences_in(folder)) == 2
    sink.write(records(3))
    sink.close()
    assert len(sequences_in(folder)) == 3


def test_a_damaged_spectrum_is_refused_and_the_others_can_be_kept(sink: Hdf5Sink, folder: Path) -> None:
    with pytest.raises(SinkRefusedError, match="inflate"):
        sink.write([record(1), record(2, spectrum=b"\x01\x02rubbish")])
    sink.write([record(1)])
    sink.tend()
    assert sequences_in(folder) == [1]


def test_a_folder_of_another_gateway_is_down_until_that_has_ended(sink: Hdf5Sink, folder: Path) -> None:
    other = Staging(folder, 1 << 26)
    with pytest.raises(SinkDownError, match="another process writes day files in"):
        sink.write(records(1))
    other.close()
    sink.write(records(1))


def test_a_folder_that_cannot_be_made_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sink = Hdf5Sink(tmp_path / "file" / "spectra", 1 << 26, 0.0)
    with pytest.raises(SinkDownError, match="cannot be written"):
        sink.write(records(1))
    sink.close()


def test_killed_at_any_moment_every_file_is_readable_and_everything_spooled_is_in_them_once(tmp_path: Path) -> None:
    folder, first = tmp_path / "spectra", 0
    generator = np.random.default_rng(11)
    certain: set[int] = set()
    for _ in range(KILLS):
        command = [sys.executable, str(ROOT / "tests/support/sink_program.py"), "hdf5", str(tmp_path), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as process:
            for _ in range(int(generator.integers(1, 40))):
                said = int(process.stdout.readline())
            process.kill()
        certain |= {one.sequence for one in spooled(tmp_path)} | set(sequences_in(folder))
        first = said + 1000
    settings = SinkSettings(kind="hdf5", hdf5=Hdf5Settings(max_bytes=1 << 16))
    last = create_recorder(settings, tmp_path, BrokerSettings(), CollectorRegistry())
    last.start()
    last.stop(30)
    found = sequences_in(folder)
    assert len(found) == len(set(found))
    assert certain <= set(found)
    assert len(certain) >= KILLS
    assert spooled(tmp_path) == []
    assert [path.name for path in folder.glob(".*.tmp")] == []
