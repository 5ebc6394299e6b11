"""Dies by SIGKILL at the n-th change of the disk, for every n; run by tests/device/models.

Forks a child for each moment. The child counts its changes of the disk and dies before the n-th: what was written
before stays, as after a power cut. The parent then looks whether the store is as it should be, and whether a new
process can finish the work. What it found goes to stdout as JSON.

    python model_kill_program.py CASE WORKSPACE FACTORY RELEASE

`RELEASE` is version 3 of the test model, with its signature beside it; `FACTORY` version 1.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from device.models.folders import file_sha256
from device.models.partial import PartialFile
from device.models.starting import open_model
from device.models.state import Installed
from device.models.store import ModelStore
from specnet.bundle import read_bundle

CALLS = ("fsync", "fdatasync", "replace", "rename", "open", "pwrite", "ftruncate", "unlink", "mkdir", "rmdir")
MAX_MOMENTS = 400
PIECE_BYTES = 40_000


class KillAt:
    """Replaces functions of `os` by ones that count, and die at a number."""

    def __init__(self, moment: int) -> None:
        self._left = moment
        for name in CALLS:
            setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **more: object) -> object:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)

        return counting


def died_at(moment: int, work: Callable[[], None]) -> bool:
    """Do the work in a child that dies at a moment; False when it was done before that."""
    child = os.fork()
    if child == 0:
        try:
            KillAt(moment)
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(3)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, f"the work failed with {os.WEXITSTATUS(status)}"
    return False


class Case:
    """Something that is killed at every moment, starting from version 2 in use and version 3 as `has_3` says."""

    has_3 = True

    def __init__(self, workspace: Path, factory: Path, release: Path) -> None:
        self.state_dir, self.factory, self.release = workspace / "state", factory, release
        self.outcomes: Counter[str] = Counter()

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.state_dir)

    def put(self, path: Path) -> Installed:
        """Stage and commit, as an installation does after its checks."""
        store, manifest = self.store, read_bundle(path).manifest
        record = Installed(
            name=manifest.name,
            version=manifest.version,
            bundle_id=manifest.bundle_id,
            sha256=file_sha256(path),
            size=path.stat().st_size,
        )
        with store.staging() as staged:
            staged.copy(path)
            staged.commit(store.root, record, Path(f"{path}.sig").read_bytes())
        return record

    def prepare(self) -> None:
        shutil.rmtree(self.state_dir, ignore_errors=True)
        second = self.put(self.release.with_name("tiny-2.specnet"))
        self.store.activate(second)
        self.store.confirm(second)
        if self.has_3:
            self.put(self.release)

    def started(self) -> int:
        """Version that a start works with."""
        return open_model(self.store, self.factory).bundle.manifest.version

    def work(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError


class Install(Case):
    has_3 = False

    def work(self) -> None:
        self.put(self.release)

    def check(self) -> None:
        installed = self.store.installed()
        self.outcomes[",".join(record.label for record in installed)] += 1
        assert [record.version for record in installed] in ([2], [2, 3])
        assert all(file_sha256(self.store.bundle_path(record)) == record.sha256 for record in installed)
        assert self.started() == 2
        self.work()
        assert [record.version for record in self.store.installed()] == [2, 3]
        assert not list(self.store.root.glob("staging-*"))


class Activate(Case):
    def work(self) -> None:
        self.store.activate(self.store.find("tiny", 3))

    def check(self) -> None:
        active = self.store.state.active
        assert active is not None
        self.outcomes[active.label] += 1
        assert self.started() == active.version
        self.work()
        assert self.started() == 3


class Start(Case):
    def prepare(self) -> None:
        super().prepare()
        self.store.activate(self.store.find("tiny", 3))

    def work(self) -> None:
        assert self.started() == 3

    def check(self) -> None:
        trial = self.store.state.trial
        assert trial is not None
        self.outcomes[f"{trial.starts} starts"] += 1
        self.work()


class Rollback(Start):
    def prepare(self) -> None:
        super().prepare()
        for _ in range(2):
            assert self.started() == 3

    def work(self) -> None:
        assert self.started() == 2

    def check(self) -> None:
        active = self.store.state.active
        assert active is not None
        self.outcomes[active.label] += 1
        self.work()
        assert self.store.state.is_refused(self.store.find("tiny", 3).sha256) is not None


class Fetch(Case):
    def prepare(self) -> None:
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def partial(self) -> PartialFile:
        return PartialFile(self.store.root, file_sha256(self.release), self.release.stat().st_size)

    def work(self) -> None:
        data = self.release.read_bytes()
        with self.partial() as partial:
            while partial.received < partial.size:
                partial.append(data[partial.received :][:PIECE_BYTES])
            partial.finish()

    def check(self) -> None:
        with self.partial() as partial:
            self.outcomes[f"{partial.received} bytes"] += 1
            assert partial.path.read_bytes() == self.release.read_bytes()[: partial.received]
        self.work()


CASES = {"install": Install, "activate": Activate, "start": Start, "rollback": Rollback, "fetch": Fetch}


def main() -> None:
    case = CASES[sys.argv[1]](*map(Path, sys.argv[2:5]))
    for moment in range(1, MAX_MOMENTS):
        case.prepare()
        if not died_at(moment, case.work):
            sys.stdout.write(json.dumps({"moments": moment - 1, "outcomes": case.outcomes}) + "\n")
            return
        case.check()
    raise AssertionError(f"{MAX_MOMENTS} moments and no end")


if __name__ == "__main__":
    main()
