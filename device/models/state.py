"""What a device remembers of its models: one small file, replaced atomically."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from specnet.errors import ModelStoreError
from specnet.files import write_bytes
from specnet.signing.signature import MODEL_NAME

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_STATE_BYTES = 64 * 1024
MAX_REFUSED = 32
MAX_NAMES = 64
MAX_REASON = 300


class Installed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version on disk that has passed all checks.

    `key_id` says who signed it; empty for one that was installed by hand without a signature.
    """

    name: str
    version: int
    bundle_id: str
    sha256: str
    size: int
    key_id: str = ""
    installed_at: str = ""

    def __post_init__(self) -> None:
        # both become parts of a path
        if not MODEL_NAME.match(self.name) or not 0 <= self.version < 2**31:
            raise ValueError(f"no name and version of a model: {self.name[:80]!r}, {self.version}")

    @property
    def label(self) -> str:
        """``name/version``, as commands and messages call it."""
        return f"{self.name}/{self.version}"


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time between activation and confirmation: starts that did not end in order, and spectra judged."""

    starts: int = 0
    good: int = 0


class Refused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle that is not to be fetched again, and why."""

    label: str
    sha256: str
    reason: str


class StoreState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that must survive a restart.

    Parameters
    ----------
    active
        In use; None for the bundle of the configuration, the factory's.
    previous
        What a rollback goes to; None for the factory's.
    trial
        Of the active one; None once it is confirmed.
    highest
        Highest version of each name that was ever in use: nothing below it is accepted.
    refused
        What has failed, newest last.
    """

    format_version: int = FORMAT_VERSION
    active: Installed | None = None
    previous: Installed | None = None
    trial: Trial | None = None
    highest: dict[str, int] = {}
    refused: tuple[Refused, ...] = ()

    def is_refused(self, sha256: str) -> Refused | None:
        """Return why this bundle was refused, if it was."""
        return next((refused for refused in self.refused if refused.sha256 == sha256), None)

    def refusing(self, label: str, sha256: str, reason: str) -> StoreState:
        """Return the state with one more bundle refused; the oldest of many is forgotten."""
        others = tuple(refused for refused in self.refused if refused.sha256 != sha256)
        new = Refused(label=label, sha256=sha256, reason=reason[:MAX_REASON])
        return msgspec.structs.replace(self, refused=(*others, new)[-MAX_REFUSED:])

    def accepting(self, sha256: str) -> StoreState:
        """Return the state with this bundle no longer refused."""
        return msgspec.structs.replace(self, refused=tuple(r for r in self.refused if r.sha256 != sha256))

    def having_seen(self, name: str, version: int) -> StoreState:
        """Return the state with this version as the least that is accepted, unless a higher one is."""
        if self.highest.get(name, -1) >= version:
            return self
        if name not in self.highest and len(self.highest) >= MAX_NAMES:
            raise ModelStoreError(f"models of {MAX_NAMES} names were in use, {name} would be one more")
        return msgspec.structs.replace(self, highest={**self.highest, name: version})


def read_state(path: Path) -> StoreState:
    """Read the state; one that is not there, or damaged and therefore set aside, is an empty one.

    Raises
    ------
    ModelStoreError
        When it cannot be read, or a newer release has written it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_STATE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return StoreState()
    except OSError as error:
        raise ModelStoreError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if len(content) > MAX_STATE_BYTES:
            raise msgspec.ValidationError(f"over {MAX_STATE_BYTES} bytes")
        state = msgspec.json.decode(content, type=StoreState)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        logger.error("%s is damaged (%s): set aside as %s", path, error, aside.name)
        with suppress(FileNotFoundError):  # another process has read it too, and was faster
            path.rename(aside)
        return StoreState()
    if state.format_version > FORMAT_VERSION:
        raise ModelStoreError(
            f"{path} has format {state.format_version}, this release knows up to {FORMAT_VERSION}; update specnet"
        )
    return state


def write_state(path: Path, state: StoreState) -> None:
    """Replace the state, on disk before this returns."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
