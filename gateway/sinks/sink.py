"""What every sink does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from specnet.wire.records import ResultRecord


class Sink(Protocol):
    """Keeps records for good. All methods are called in one thread, which may be held up there.

    Attributes
    ----------
    only_examples
        Whether it keeps only records that can become training data (`ResultRecord.is_example`).
    """

    only_examples: bool

    def write(self, records: Sequence[ResultRecord]) -> None:
        """Keep all of these records, or raise; what was kept before is kept once, also when it comes again.

        Raises
        ------
        SinkDownError
            When the sink cannot be used now. Some of the records may have been kept.
        SinkRefusedError
            When one of the records will never be taken.
        """

    def tend(self) -> None:
        """Do what falls due with time; called after every `write`, otherwise once a second. Errors as `write`."""

    def close(self) -> None:
        """Let go of files and connections; called once, also after errors. Raises nothing."""
