"""Messages by which a model travels: announced once, fetched part by part at the device's own pace.

The broker holds one small retained message; parts are published only when a device has asked for them, so that
nothing big ever waits in a queue.
"""

from __future__ import annotations

import re
import zlib
from typing import Literal

from specnet.wire.fields import require, require_counters, require_names, require_text
from specnet.wire.messages import Message

MAX_MODEL_BYTES = 256 << 20
MIN_PART_BYTES, MAX_PART_BYTES = 256, 128 << 10
MAX_SIGNATURE_DOCUMENT = 2048
MAX_URL = 1000
MAX_ANNOUNCEMENT_BYTES = 8192
MAX_PART_REQUEST_BYTES = 512
MAX_PART_PAYLOAD_BYTES = MAX_PART_BYTES + 2048
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Stage = Literal["factory", "active", "trial", "fetching", "checking", "activated", "refused", "rolled_back", "failed"]


class ModelAnnouncement(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is a model (retained).

    Parameters
    ----------
    name, version
        Of the bundle.
    size, sha256
        Of its file, in bytes.
    part_bytes
        Longest part that is given out.
    signature
        The signature file (JSON), which covers all fields above but `part_bytes`: a device verifies it before it
        asks for the first part.
    url
        Where the same file can be had over HTTP(S); empty when only here.
    """

    name: str
    version: int
    size: int
    sha256: str
    part_bytes: int
    signature: bytes
    url: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names(name=self.name)
        require_counters(version=self.version)
        _require_size(self.size)
        _require_hash(self.sha256)
        found, least, most = self.part_bytes, MIN_PART_BYTES, MAX_PART_BYTES
        require(least <= found <= most, f"part_bytes is {least} to {most}, got {found}")
        n_bytes = len(self.signature)
        require(1 <= n_bytes <= MAX_SIGNATURE_DOCUMENT, f"signature has 1 to {MAX_SIGNATURE_DOCUMENT}, got {n_bytes}")
        require(len(self.url) <= MAX_URL, f"url has {len(self.url)} characters, at most {MAX_URL}")


class PartRequest(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for `length` bytes of the file with this hash from `offset` on."""

    sha256: str
    offset: int
    length: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_hash(self.sha256)
        require(0 <= self.offset < MAX_MODEL_BYTES, f"offset is 0 to {MAX_MODEL_BYTES - 1}, got {self.offset}")
        require(1 <= self.length <= MAX_PART_BYTES, f"length is 1 to {MAX_PART_BYTES}, got {self.length}")


class Part(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of a file, as many as were asked for.

    `checksum` is the CRC-32 of `data`. `error` says why there are none.
    """

    sha256: str
    offset: int
    data: bytes = b""
    checksum: int = 0
    error: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_hash(self.sha256)
        require(0 <= self.offset < MAX_MODEL_BYTES, f"offset is 0 to {MAX_MODEL_BYTES - 1}, got {self.offset}")
        require(len(self.data) <= MAX_PART_BYTES, f"data has {len(self.data)} bytes, at most {MAX_PART_BYTES}")
        require_text(error=self.error)
        require(bool(self.data) != bool(self.error), "a part has data or an error, and not both")
        found = zlib.crc32(self.data)
        require(self.checksum == found, f"the part's checksum is {self.checksum:#x}, its data has {found:#x}")


class ModelState(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model a device works with, and what became of the last update (retained).

    Parameters
    ----------
    device, boot
        Who, and in which boot.
    name, version, bundle
        The model in use.
    stage
        ``factory``, ``active`` or ``trial`` of the model in use; the others speak of the update `candidate`.
    candidate
        ``name/version`` of an update; empty when there is none.
    progress
        Share of the candidate that has been fetched, 0 to 1.
    detail
        Why it was refused, failed or rolled back.
    """

    device: str
    boot: int
    name: str
    version: int
    bundle: str
    stage: Stage
    candidate: str = ""
    progress: float = 0.0
    detail: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names(device=self.device, bundle=self.bundle)
        require_counters(boot=self.boot, version=self.version)
        require_text(name=self.name, candidate=self.candidate, detail=self.detail)
        require(0 <= self.progress <= 1, f"progress is 0 to 1, got {self.progress}")


def _require_size(size: int) -> None:
    require(1 <= size <= MAX_MODEL_BYTES, f"size is 1 to {MAX_MODEL_BYTES}, got {size}")


def _require_hash(sha256: str) -> None:
    require(_SHA256.match(sha256) is not None, f"sha256 is 64 hexadecimal digits, got {sha256[:80]!r}")
