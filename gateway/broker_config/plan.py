"""Who talks to the broker, how they prove who they are, and how much may wait: the plan that the files are made from.

The plan is kept as JSON beside them, so that a later run adds a device to what there is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from gateway.broker_config.certificates import check_common_name
from specnet.errors import BrokerError, ConfigurationError, WireError
from specnet.files import read_bounded
from specnet.mqtt.messages import check_topic
from specnet.ranges import check_range
from specnet.wire import MAX_PAYLOAD_BYTES, MIN_PART_BYTES
from specnet.wire.topics import check_name

PLAN_FILE = "plan.json"
FORMAT = "specnet-broker-plan"
MAX_PLAN_BYTES = 16 << 20
MAX_CLIENTS = 100_000
LOOPBACK = "127.0.0.1"
TLS_PORT, PLAIN_PORT = 8883, 1883
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\Z"
)

Proof = Literal["certificates", "passwords", "nothing"]
BrokerVersion = Literal["2.0", "2.1"]


class BrokerPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what the files say.

    Parameters
    ----------
    devices
        ``SITE/NAME`` each. That is also the user name: neither part can contain a slash, so no two devices can have
        the same one, and no gateway or operator the one of a device.
    gateways, operators
        Their user names.
    sites
        Sites besides those of the devices: gateways and operators are at home at all sites, and nowhere else.
    proof
        How clients prove who they are.
    encrypted
        Whether the listener speaks TLS.
    host, port
        Where the broker listens; every interface when `host` is empty.
    server_names
        Host names and addresses by which clients know the broker; they are in its certificate.
    version
        Whose options to use: 2.0, or 2.1 and newer.
    plugins
        Folder of the plugins of mosquitto 2.1; empty for the older options, which 2.1 still knows.
    folder
        Where these files are when the broker runs.
    state
        Where the broker keeps retained messages; its user must be able to write there.
    expected_devices
        Devices to make room for, where there are more than those named.
    window
        Most requests that a device has under way (its ``uplink.window``).
    request_bytes
        Usual size of a request.
    payload_bytes
        Largest payload that the broker takes.
    results_topic
        Where gateways with an MQTT result sink publish; empty for nowhere.

    Raises
    ------
    ConfigurationError
        When a name or number cannot be; the message names it.
    """

    devices: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    proof: Proof
    encrypted: bool
    host: str = ""
    port: int = TLS_PORT
    server_names: tuple[str, ...] = ()
    version: BrokerVersion
    plugins: str = ""
    folder: str
    state: str = "/var/lib/mosquitto"
    expected_devices: int = 0
    window: int = 16
    request_bytes: int = 4096
    payload_bytes: int = MAX_PAYLOAD_BYTES
    results_topic: str = "specnet/results"
    format: str = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ConfigurationError(f"format is {FORMAT!r}, got {self.format!r}")
        for device in self.devices:
            split_device(device)
        for role, names in (("gateway", self.gateways), ("operator", self.operators), ("site", self.sites)):
            for name in names:
                check_user(name, role)
        users = self.users
        if len(users) > MAX_CLIENTS:
            raise ConfigurationError(f"there are {len(users)} clients, at most {MAX_CLIENTS} are planned for")
        if twice := {name for name in users if users.count(name) > 1} if len(set(users)) < len(users) else set():
            raise ConfigurationError(f"{sorted(twice)[0]!r} is named twice: each client has a user name of its own")
        for name in self.server_names:
            check_server_name(name)
        if self.proof == "certificates":
            if not self.encrypted:
                raise ConfigurationError("clients can prove who they are by certificates over TLS only")
            for name in users:
                check_common_name(name)
        if self.host:
            check_server_name(self.host)
        if self.proof == "nothing" and self.host != LOOPBACK:
            raise ConfigurationError(f"without proof of identity the broker listens on {LOOPBACK} only")
        for what, path in (("folder", self.folder), ("state", self.state), ("plugins", self.plugins)):
            if not path.isprintable() or (path and not path.startswith("/")):
                raise ConfigurationError(f"{what} is a whole path, from / on, of printable characters, got {path!r}")
        if self.results_topic:
            _check_results_topic(self.results_topic)
        check_range("port", self.port, 1, 65_535)
        check_range("expected_devices", self.expected_devices, 0, 1_000_000)
        check_range("window", self.window, 1, 1000)
        check_range("payload_bytes", self.payload_bytes, MIN_PART_BYTES, 64 << 20)
        check_range("request_bytes", self.request_bytes, 1, self.payload_bytes)

    @property
    def users(self) -> tuple[str, ...]:
        """User names of all clients."""
        return (*self.devices, *self.gateways, *self.operators)

    @property
    def all_sites(self) -> tuple[str, ...]:
        """Sites in order, those of the devices included."""
        return tuple(sorted({*self.sites, *(split_device(device)[0] for device in self.devices)}))

    @property
    def room_for(self) -> int:
        """Devices to make room for."""
        return max(len(self.devices), self.expected_devices, 1)


def read_plan(path: Path) -> BrokerPlan:
    """Read the plan of an earlier run.

    Raises
    ------
    ConfigurationError
        When it cannot be read or is no plan.
    """
    document = read_bounded(path, MAX_PLAN_BYTES, "plan", ConfigurationError)
    try:
        return msgspec.json.decode(document, type=BrokerPlan)
    except (msgspec.MsgspecError, ConfigurationError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no plan of a broker: {error}") from error


def split_device(name: str) -> tuple[str, str]:
    """Take ``SITE/NAME`` apart.

    Raises
    ------
    ConfigurationError
        When it is something else, or a part cannot be a topic level or the name of a folder.
    """
    site, slash, device = name.partition("/")
    if not slash:
        raise ConfigurationError(f"a device is SITE/NAME, as in lab/node-1; got {name[:80]!r}")
    return check_user(site, "site"), check_user(device, "device")


def check_user(name: str, role: str) -> str:
    """Return a name that may become a topic level, a user name and a folder, or raise `ConfigurationError`."""
    try:
        check_name(name, role)
    except WireError as error:
        raise ConfigurationError(str(error)) from error
    if name in (".", ".."):
        raise ConfigurationError(f"{role} {name!r} cannot be the name of a folder")
    return name


def check_server_name(name: str) -> str:
    """Return a host name or an address, or raise `ConfigurationError`."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if not _HOST_NAME.match(name):
            raise ConfigurationError(f"a server name is a host name or an address, got {name[:80]!r}") from None
    return name


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Names once each, in order."""
    return tuple(sorted(set(names)))


def _check_results_topic(topic: str) -> None:
    try:
        check_topic(topic)
    except BrokerError as error:
        raise ConfigurationError(f"results_topic: {error}") from error
    # a line of the rules ends with its line, and a reserved topic would give gateways more than results
    if not topic.isprintable() or topic.startswith(("specnet/v1/", "$")) or topic != topic.strip():
        raise ConfigurationError(f"results_topic is a plain topic outside of specnet/v1/, got {topic!r}")
