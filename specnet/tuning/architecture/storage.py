"""The study in which a search keeps its trials: a journal or a database, of one file of spectra and one recipe."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from specnet.errors import ConfigurationError
from specnet.tuning.architecture.judging import Task
from specnet.tuning.architecture.searches import Place
from specnet.tuning.architecture.space import SearchSpace

JOURNAL = "study.journal"
MAX_JOURNAL_BYTES = 256 << 20
BEGINNING = b'{"op_code":'
LOCK_S = 30
"""A lock that is older belonged to a process that was killed."""
SQLITE_WAIT_S = 60
_DAMAGED = (ValueError, KeyError, TypeError, AssertionError)
"""What reading a journal that is none raises."""


def identity_of(task: Task, space: SearchSpace, search: str, epochs: int) -> dict[str, Any]:
    """Collect what all trials of a study have in common; those of another are not to be compared with them."""
    recipe = {**task.config.to_dict(), "preprocessing": task.preprocessing, "trial_epochs": epochs}
    whole = {
        "data_sha256": task.data_sha256,
        "search": search,
        "limit": {"macs": task.limit.macs, "us": task.limit.us},
        "recipe": recipe,
        "space": space.to_dict(),
    }
    # as it comes back out of the storage: tuples become lists
    plain: dict[str, Any] = json.loads(json.dumps(whole))
    return plain


def open_study(place: Place, identity: dict[str, Any]) -> optuna.Study:
    """Open the study of a search, or begin one.

    Raises
    ------
    ConfigurationError
        When the storage cannot be used, or the study is of other data, another recipe, space or limit.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = _study(_storage(place), place.study)
        for name, value in identity.items():
            _same(place, study, name, value)
    except (*_DAMAGED, DuplicatedStudyError) as error:
        raise ConfigurationError(
            f"{_shown(place)} is no storage of a search: {type(error).__name__}: {error}"
        ) from error
    return study


def _study(storage: BaseStorage, name: str) -> optuna.Study:
    """Load a study, or make it; reading one that is there writes nothing."""
    # each trial makes its own, see `specnet.tuning.architecture.samplers`
    sampler = optuna.samplers.RandomSampler(seed=0)
    try:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    except KeyError:
        # another process may be making it as well
        return optuna.create_study(
            storage=storage, study_name=name, direction="minimize", sampler=sampler, load_if_exists=True
        )


def _same(place: Place, study: optuna.Study, name: str, value: object) -> None:
    if name not in study.user_attrs:
        study.set_user_attr(name, value)
    if (kept := study.user_attrs[name]) != value:
        ours, theirs = _difference(value, kept)
        what = f"study {place.study!r} in {_shown(place)} has {name} {theirs}, this search {ours}"
        raise ConfigurationError(f"{what}; choose another folder, or another name of the study")


def _difference(ours: object, theirs: object) -> tuple[str, str]:
    """Show what differs only, where the values are dictionaries."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        ours, theirs = ({name: values.get(name) for name in names} for values in (ours, theirs))
    return json.dumps(ours), json.dumps(theirs)


def _storage(place: Place) -> BaseStorage:
    if place.storage is not None and "://" in place.storage:
        return _database(place.storage)
    path = (place.folder / JOURNAL if place.storage is None else Path(place.storage)).absolute()
    size = path.stat().st_size if path.exists() else 0
    if size > MAX_JOURNAL_BYTES:
        raise ConfigurationError(f"journal {path} has {size} bytes, at most {MAX_JOURNAL_BYTES} are read")
    lock = lock_of(path)
    _drop_torn_line(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def lock_of(path: Path | str) -> JournalFileOpenLock:
    """Lock of a journal: a file beside it, so that it holds between machines."""
    return JournalFileOpenLock(str(path), grace_period=LOCK_S)


def _drop_torn_line(path: Path, lock: JournalFileOpenLock) -> None:
    """Cut off a last line that was not written to its end: what is appended to it could not be read again."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        if file.read(len(BEGINNING)) != BEGINNING:
            raise ConfigurationError(f"{path} is no journal of a search: it does not begin with {BEGINNING.decode()}")
    lock.acquire()
    try:
        with path.open("rb+") as file:
            content = file.read(MAX_JOURNAL_BYTES)
            if not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _database(url: str) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    options = {"connect_args": {"timeout": SQLITE_WAIT_S}} if url.startswith("sqlite") else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about features that are not used here
            return RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        raise ConfigurationError(f"the driver of the storage is not installed: {error}") from error
    except (SQLAlchemyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"storage {_without_password(url)} cannot be used: {reason}") from error


def _shown(place: Place) -> str:
    if place.storage is None:
        return str(place.folder / JOURNAL)
    return _without_password(place.storage) if "://" in place.storage else place.storage


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
