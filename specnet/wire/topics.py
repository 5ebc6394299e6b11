"""MQTT topics: ``specnet/v1/<site>/<device>/...``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from specnet.errors import WireError

PREFIX = "specnet/v1"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
MAX_SPLIT = 63
REMEMBERED = 20_000


def check_name(name: str, what: str) -> str:
    """Return a site, device or bundle name, or raise `WireError`: it becomes a topic level."""
    if not NAME.match(name):
        raise WireError(f"{what} is 1 to 64 of letters, digits, '_', '.', '-'; got {name[:80]!r}")
    return name


@dataclass(frozen=True)
class Topics:
    """The topics of one device."""

    site: str
    device: str

    def __post_init__(self) -> None:
        check_name(self.site, "site")
        check_name(self.device, "device")

    @property
    def base(self) -> str:
        """Common beginning of all topics."""
        return f"{PREFIX}/{self.site}/{self.device}"

    @property
    def state(self) -> str:
        """Retained `State`, also the last will."""
        return f"{self.base}/state"

    @property
    def birth(self) -> str:
        """Retained `Birth`."""
        return f"{self.base}/birth"

    @property
    def result(self) -> str:
        """`Result` messages to the device."""
        return f"{self.base}/result"

    @property
    def answer(self) -> str:
        """`Answer` messages from the device, for whoever wants to know."""
        return f"{self.base}/answer"

    @property
    def unanswered(self) -> str:
        """`Unanswered` messages from the device: spectra that get no answer."""
        return f"{self.base}/unanswered"

    @property
    def command(self) -> str:
        """`Command` messages to the device."""
        return f"{self.base}/cmd"

    @property
    def ping(self) -> str:
        """Messages of a device to itself, by which it measures its link."""
        return f"{self.base}/ping"

    @property
    def model(self) -> str:
        """Retained `ModelAnnouncement` for this device."""
        return f"{self.base}/model"

    @property
    def site_model(self) -> str:
        """Retained `ModelAnnouncement` for all devices of the site."""
        return site_model_topic(self.site)

    @property
    def model_state(self) -> str:
        """Retained `ModelState` of this device."""
        return f"{self.base}/model/state"

    @property
    def model_request(self) -> str:
        """`PartRequest` messages from the device."""
        return f"{self.base}/model/get"

    @property
    def model_part(self) -> str:
        """`Part` messages to the device."""
        return f"{self.base}/model/part"

    def offload(self, bundle: str, split: int) -> str:
        """`OffloadRequest` messages from the device."""
        if not 0 <= split <= MAX_SPLIT:
            raise WireError(f"split is 0 to {MAX_SPLIT}, got {split}")
        return f"{self.base}/offload/{check_name(bundle, 'bundle')}/{split}"


@lru_cache(REMEMBERED)
def result_topic(site: str, device: str) -> str:
    """Topic of the results for a device; remembered, because a gateway asks with every request."""
    return Topics(site, device).result


@dataclass(frozen=True)
class OffloadTopic:
    """What the topic of a request says."""

    site: str
    device: str
    bundle: str
    split: int


@lru_cache(REMEMBERED)
def parse_offload_topic(topic: str) -> OffloadTopic:
    """Take the topic of an `OffloadRequest` apart.

    Raises
    ------
    WireError
        When it is another topic.
    """
    levels = topic.split("/")
    if len(levels) != 7 or "/".join(levels[:2]) != PREFIX or levels[4] != "offload":
        raise WireError(f"not a topic of requests: {topic[:200]!r}")
    _, _, site, device, _, bundle, split = levels
    if not (split.isascii() and split.isdigit() and len(split) <= 2 and int(split) <= MAX_SPLIT):
        raise WireError(f"split is 0 to {MAX_SPLIT}, got {split[:20]!r}")
    return OffloadTopic(
        check_name(site, "site"), check_name(device, "device"), check_name(bundle, "bundle"), int(split)
    )


def shared_offload_filter(group: str, site: str = "+") -> str:
    """Shared subscription to the requests of all devices of a site, or of every site."""
    level = site if site == "+" else check_name(site, "site")
    return f"$share/{check_name(group, 'group')}/{PREFIX}/{level}/+/offload/+/+"


def site_model_topic(site: str) -> str:
    """Topic of the announcement for all devices of a site: one level shorter than any topic of a device."""
    return f"{PREFIX}/{check_name(site, 'site')}/model"


def model_request_filter(site: str) -> str:
    """Subscription to the requests for parts of all devices of a site."""
    return f"{PREFIX}/{check_name(site, 'site')}/+/model/get"


def model_state_filter(site: str) -> str:
    """Subscription to what all devices of a site say of their models."""
    return f"{PREFIX}/{check_name(site, 'site')}/+/model/state"


def parse_model_request_topic(topic: str) -> Topics:
    """Find out whose `PartRequest` a topic is; `WireError` when it is another topic."""
    levels = topic.split("/")
    if len(levels) != 6 or "/".join(levels[:2]) != PREFIX or levels[4:] != ["model", "get"]:
        raise WireError(f"not a topic of requests for parts: {topic[:200]!r}")
    return Topics(levels[2], levels[3])
