"""Where searches are kept: one study of one file, recipe, space and limit; whatever else is refused and left alone."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support_search import EPOCHS, search

from specnet.errors import ConfigurationError
from specnet.tuning.architecture import storage
from specnet.tuning.architecture.judging import CostLimit, Task
from specnet.tuning.architecture.searches import Budget, Place, Status
from specnet.tuning.architecture.space import SearchSpace
from specnet.tuning.architecture.storage import JOURNAL, identity_of, open_study
from specnet.tuning.architecture.trials import search_trials

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_database_does_as_well_as_a_journal(task: Task, space: SearchSpace, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    first = search(task, space, Place(tmp_path, database), trials=2)
    assert len(first.candidates) == 2
    assert search(task, space, Place(tmp_path, database), trials=3).candidates[:2] == first.candidates
    assert not (tmp_path / JOURNAL).exists()
    other = Place(tmp_path, database, study="other")
    assert len(search(task, replace(space, stages=(2,), widths=space.widths[:2]), other, trials=1).candidates) == 1


def test_a_database_that_goes_away_is_told(task: Task, space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    place = Place(tmp_path, f"sqlite:///{path}")

    def drop(status: Status) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DROP TABLE trial_values")

    with pytest.raises(ConfigurationError, match=r"failed in the middle of the search: .*; what was judged is kept"):
        search_trials("tpe", task, space, Budget(trials=3, epochs=EPOCHS), place=place, report=drop)


def test_a_journal_may_be_elsewhere(task: Task, space: SearchSpace, tmp_path: Path) -> None:
    search(task, space, Place(tmp_path, str(tmp_path / "share.journal")), trials=1)
    assert (tmp_path / "share.journal").stat().st_size > 0
    assert not (tmp_path / JOURNAL).exists()


def test_another_search_is_refused_with_both_values(task: Task, space: SearchSpace, place: Place) -> None:
    open_study(place, identity_of(task, space, "tpe", EPOCHS))

    def refused(task: Task, space: SearchSpace = space, name: str = "tpe", epochs: int = EPOCHS) -> str:
        with pytest.raises(ConfigurationError) as caught:
            open_study(place, identity_of(task, space, name, epochs))
        assert "choose another folder" in str(caught.value)
        return str(caught.value)

    other_data = refused(replace(task, data_sha256="f" * 64))
    assert f'data_sha256 "{task.data_sha256}", this search "{"f" * 64}"' in other_data
    assert 'limit {"macs": null}, this search {"macs": 1000.0}' in refused(replace(task, limit=CostLimit(macs=1000.0)))
    assert 'space {"units": [0, 1, 2]}, this search {"units": [0, 1]}' in refused(task, replace(space, units=(0, 1)))
    changed = replace(task, config=replace(task.config, learning_rate=0.01))
    assert 'recipe {"learning_rate": 0.003}, this search {"learning_rate": 0.01}' in refused(changed)
    assert '{"trial_epochs": 4}, this search {"trial_epochs": 5}' in refused(task, epochs=5)
    assert 'search "tpe", this search "random"' in refused(task, name="random")


def test_a_line_that_was_not_finished_is_dropped(task: Task, space: SearchSpace, place: Place) -> None:
    """As a power cut leaves it; what Optuna appends to it could not be read again."""
    first = search(task, space, place, trials=2)
    journal = place.folder / JOURNAL
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"a-1","stu')
    assert search(task, space, place, trials=3).candidates[:2] == first.candidates
    assert search(task, space, place, trials=3).candidates[:2] == first.candidates


def test_a_lock_that_a_killed_process_left_is_broken(
    task: Task, space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place(Path())  # whose journal is named relative to the working folder
    open_study(place, identity_of(task, space, "tpe", EPOCHS))
    monkeypatch.setattr(storage, "LOCK_S", 3)
    holder = "import sys; from specnet.tuning.architecture.storage import lock_of; lock_of(sys.argv[1]).acquire()"
    subprocess.run([sys.executable, "-c", holder, JOURNAL], check=True)
    assert len(list(tmp_path.iterdir())) == 2
    open_study(place, identity_of(task, space, "tpe", EPOCHS))
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]


@pytest.mark.parametrize("content", [b"notes without an end", b"notes\n" * 4, b"\0" * 100])
def test_a_foreign_file_is_refused_and_left_as_it_is(
    task: Task, space: SearchSpace, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no journal of a search"):
        open_study(Place(tmp_path, str(path)), identity_of(task, space, "tpe", EPOCHS))
    assert path.read_bytes() == content
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "line", [b'{"op_code":77}\n', b'{"op_code":0}\n', b'{"op_code":4}\n{}\n', b'{"op_code":x\n{"op_code":0}\n']
)
def test_a_damaged_journal_is_refused(task: Task, space: SearchSpace, place: Place, line: bytes) -> None:
    (place.folder / JOURNAL).write_bytes(line)
    with pytest.raises(ConfigurationError, match="is no storage of a search"):
        open_study(place, identity_of(task, space, "tpe", EPOCHS))


def test_a_journal_has_a_size_limit(
    task: Task, space: SearchSpace, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_study(place, identity_of(task, space, "tpe", EPOCHS))
    size = (place.folder / JOURNAL).stat().st_size
    monkeypatch.setattr(storage, "MAX_JOURNAL_BYTES", size - 1)
    with pytest.raises(ConfigurationError, match=f"has {size} bytes, at most {size - 1} are read"):
        open_study(place, identity_of(task, space, "tpe", EPOCHS))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("sqlite:////nowhere/at/all.db", "unable to open"),
        ("nosuch://me:secret@host/base", "nosuch://host/base"),
        ("redis://me:secret@host", "redis://host"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(
    task: Task, space: SearchSpace, place: Place, url: str, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        open_study(replace(place, storage=url), identity_of(task, space, "tpe", EPOCHS))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
