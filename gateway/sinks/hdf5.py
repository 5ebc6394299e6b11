"""Raw spectra with their answers in HDF5 day files, which `specnet inspect` and `specnet import` read.

An HDF5 file that a process had open for writing when it was killed can be unreadable as a whole, flushed or not, and
single-writer mode forbids the columns of text that the format has. So no file is ever open for appending: spectra are
committed to an SQLite database in the folder first (`gateway.sinks.staging`), and a day's file is made from it as a
whole, under a temporary name, forced to disk and renamed. Whenever the process dies, every ``*.h5`` there is
complete and readable; what is younger is in the database and goes into the file after the next start. The price is
that a growing file is written anew every `publish_s` seconds, at most `max_bytes` of it.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from gateway.sinks.staging import Part, Staging
from specnet.errors import CodecError, ConfigurationError, SinkDownError, SinkRefusedError, SpecnetError
from specnet.wire.records import ResultRecord

INSTALL = "pip install 'specnet-edge[gateway,train]'"


class Hdf5Sink:
    """Files ``YYYY-MM-DD-<axis>.h5`` in a folder that one gateway has for itself; days are those of UTC.

    Parameters
    ----------
    folder
        Made when missing.
    max_bytes
        Of one file's intensities before compression; then follow ``...-2.h5`` and so on.
    publish_s
        Files that have changed are written anew this often, and when the gateway stops.
    clock
        Monotonic seconds.

    Raises
    ------
    ConfigurationError
        When h5py is not installed.
    """

    only_examples = True

    def __init__(
        self, folder: Path, max_bytes: int, publish_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if importlib.util.find_spec("h5py") is None:
            raise ConfigurationError(f"sink.kind = 'hdf5' needs h5py, which is not installed: {INSTALL}")
        self._folder = folder
        self._max_bytes = max_bytes
        self._publish_s = publish_s
        self._clock = clock
        self._due = clock()
        self._staging: Staging | None = None

    def write(self, records: Sequence[ResultRecord]) -> None:
        """Commit the records that are examples; errors as `Sink.write`."""
        examples = [record for record in records if record.is_example]
        try:
            for record in examples:
                record.intensity()
        except CodecError as error:
            raise SinkRefusedError(f"a spectrum is damaged: {error}") from error
        with self._trouble_as_down():
            self._opened().add(examples)

    def tend(self) -> None:
        """Write the files that have changed, when it is time; errors as `Sink.write`."""
        if self._clock() < self._due:
            return
        with self._trouble_as_down():
            self._publish(self._opened())
        self._due = self._clock() + self._publish_s

    def close(self) -> None:
        """Write the files that have changed."""
        staging, self._staging = self._staging, None
        if staging is None:
            return
        # what cannot be written now is written after the next start
        with suppress(SpecnetError, OSError, sqlite3.Error):
            self._publish(staging)
        staging.close()

    def _publish(self, staging: Staging) -> None:
        for part in staging.changed():
            self._write_file(part, staging.records(part))
            staging.published(part)
        staging.settle(datetime.now(UTC).date().isoformat())

    def _write_file(self, part: Part, records: Sequence[ResultRecord]) -> None:
        # a gateway without this sink does not pay for h5py
        from specnet.datasets import write_spectra
        from specnet.datasets.answered import answered_table

        write_spectra(self._folder / part.file, answered_table(records, f"Answered on {part.day}"))

    def _opened(self) -> Staging:
        if self._staging is None:
            self._staging = Staging(self._folder, self._max_bytes)
            # the folder is ours now: these were being written when a process was killed
            for unfinished in self._folder.glob(".*.h5.*.tmp"):
                unfinished.unlink(missing_ok=True)
        return self._staging

    @contextmanager
    def _trouble_as_down(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError as error:
            raise SinkDownError(f"another process writes day files in {self._folder}") from error
        except (OSError, RuntimeError, sqlite3.Error) as error:  # h5py says RuntimeError too
            raise SinkDownError(f"day files in {self._folder} cannot be written: {error}") from error
