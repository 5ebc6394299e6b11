"""What a search with a supernet has done, in a file: nothing that was judged is judged again after an interruption."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specnet.errors import ModelError, SpecnetError
from specnet.files import read_bounded, write_json
from specnet.tuning.architecture.space import Architecture

FORMAT = "specnet-supernet-search"
FORMAT_VERSION = 1
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Record:
    """What is known of a shape.

    Parameters
    ----------
    macs, us
        Its cost; microseconds where they were measured.
    nats, accuracy
        On calibration spectra; both None before it was judged, nats None as well where they were not finite.
    seconds
        Processor seconds of the judgement.
    """

    macs: int
    us: float | None = None
    nats: float | None = None
    accuracy: float | None = None
    seconds: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether it was judged."""
        return self.accuracy is not None


class Ledger:
    """Epochs that were planned, processor seconds that were used and shapes that were judged.

    The limit of the cost is no part of it: one supernet serves every limit, and so does what was judged.

    Parameters
    ----------
    path
        Of the file; continued where it exists.
    identity
        What the file must agree with: data, recipe and space, as JSON knows them.

    Raises
    ------
    ModelError
        When the file is damaged, or belongs to another search.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, json.loads(json.dumps(identity))
        self.epochs, self.seconds = 0, 0.0
        self.records: dict[Architecture, Record] = {}
        self._mark = time.process_time()
        if path.exists():
            self._read()

    def spend(self) -> float:
        """Count the processor time of this process since the last call; give all seconds of the search."""
        now = time.process_time()
        self.seconds, self._mark = self.seconds + now - self._mark, now
        return self.seconds

    def write(self) -> None:
        """Write the file, with all seconds so far."""
        self.spend()
        shapes = [{"architecture": shape.to_dict(), **asdict(record)} for shape, record in self.records.items()]
        write_json(
            self.path,
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "identity": self.identity,
                "epochs": self.epochs,
                "seconds": self.seconds,
                "shapes": shapes,
            },
        )

    def _read(self) -> None:
        try:
            document = json.loads(read_bounded(self.path, MAX_FILE_BYTES, "search", ModelError))
            found = document["format"], document["format_version"]
            if found != (FORMAT, FORMAT_VERSION):
                raise ModelError(
                    f"{self.path} is {found[0]!r} version {found[1]}, expected {FORMAT!r} version {FORMAT_VERSION}"
                )
            self._compare(document["identity"])
            self.epochs, self.seconds = int(document["epochs"]), float(document["seconds"])
            for shape in document["shapes"]:
                architecture = Architecture.from_dict(shape.pop("architecture"))
                self.records[architecture] = Record(**shape)
        except SpecnetError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{self.path} holds no search with a supernet: {error!r}") from error

    def _compare(self, found: dict[str, Any]) -> None:
        for name, now in self.identity.items():
            if (then := found.get(name)) != now:
                if isinstance(then, dict) and isinstance(now, dict):
                    part = next(key for key in {**then, **now} if then.get(key) != now.get(key))
                    name, then, now = f"{name}.{part}", then.get(part), now.get(part)
                raise ModelError(
                    f"{self.path} belongs to another search: {name} was {then}, is now {now}; use another folder"
                )
