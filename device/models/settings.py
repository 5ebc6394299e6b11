"""The table ``[models]`` of the configuration."""

from __future__ import annotations

import msgspec

from specnet.bundle import MAX_BUNDLE_BYTES
from specnet.errors import ConfigurationError
from specnet.ranges import check_range
from specnet.signing.signature import MODEL_NAME
from specnet.wire import MAX_PART_BYTES

MAX_PREFIXES = 16


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[models]``: updates of the model, and what is kept of them.

    Parameters
    ----------
    trust_dir
        Folder of public keys (``*.pem``), or one such file; only bundles signed by one of them are accepted. Empty
        trusts nobody: then no update comes over the network, and local ones need no signature.
    remote
        Obey announcements over MQTT; needs trusted keys.
    name
        Only updates of this model are taken over the network; empty means that of the model in use.
    keep
        Versions that stay on disk, the one in use and the one before it included.
    confirm_after
        Spectra that a new model must judge before it counts as good; until then two crashes bring the old one back.
    max_bytes
        Larger bundles are not fetched.
    check_timeout_s
        How long verification and self-test of a new bundle may take, in seconds.
    part_bytes
        Most bytes that are asked for at once; less on a slow link.
    rate_bytes_s
        Mean rate of fetching, in bytes a second; 0 does not limit it.
    url_prefixes
        An announced address is fetched from only if it begins with one of these; without any, all comes over MQTT.
    ca_file
        Certificates of the authorities to trust for https; the system's when empty.

    Raises
    ------
    ConfigurationError
        When a value is out of range.
    """

    trust_dir: str = ""
    remote: bool = True
    name: str = ""
    keep: int = 3
    confirm_after: int = 100
    max_bytes: int = 64 << 20
    check_timeout_s: float = 120.0
    part_bytes: int = 32_768
    rate_bytes_s: float = 65_536.0
    url_prefixes: tuple[str, ...] = ()
    ca_file: str = ""

    def __post_init__(self) -> None:
        if self.name and not MODEL_NAME.match(self.name):
            raise ConfigurationError(f"models.name is the name of a bundle, got {self.name[:80]!r}")
        check_range("models.keep", self.keep, 2, 100)
        check_range("models.confirm_after", self.confirm_after, 1, 1_000_000)
        check_range("models.max_bytes", self.max_bytes, 1024, MAX_BUNDLE_BYTES)
        check_range("models.check_timeout_s", self.check_timeout_s, 1.0, 3600.0)
        check_range("models.part_bytes", self.part_bytes, 256, MAX_PART_BYTES)
        check_range("models.rate_bytes_s", self.rate_bytes_s, 0.0, 1e9)
        if len(self.url_prefixes) > MAX_PREFIXES or not all(
            prefix.startswith(("http://", "https://")) and prefix.count("/") >= 3 for prefix in self.url_prefixes
        ):
            # without the slash after the host "https://a" would allow "https://a.elsewhere"
            raise ConfigurationError(
                f"models.url_prefixes are at most {MAX_PREFIXES} such as 'https://gateway.local/models/', "
                f"got {self.url_prefixes[:5]}"
            )
