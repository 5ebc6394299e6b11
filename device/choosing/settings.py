"""The table ``[choosing]`` of the configuration."""

from __future__ import annotations

import msgspec

from specnet.errors import ConfigurationError
from specnet.ranges import check_range

AUTO = "auto"
"""Value of ``operating_point`` with which the node chooses."""


class ChoosingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a node with ``operating_point = "auto"`` chooses.

    Parameters
    ----------
    window_s
        Measurements are of the last so many seconds.
    dwell_s, dwell_max_s
        Seconds that a point stays at least; doubled up to `dwell_max_s` with every flip-flop.
    probe_s
        At a point that another one is preferred to, an audit sample is sent after so many seconds without a request,
        because without requests nobody knows that the link is back.
    patience_ms
        A round trip below so many milliseconds is never slow, whatever link the point was tuned for.
    daily_joules
        What computing and sending may take in 24 hours, however often the node is started meanwhile; 0 for no budget.
    device_profile, link_profile
        Files of ``specnet-device profile`` and ``ping`` that have the watts, for the budget; the second may be left
        out, then sending takes nothing.
    max_model_bytes
        Points whose segments together are larger are not made ready and never chosen.
    """

    window_s: float = 120.0
    dwell_s: float = 30.0
    dwell_max_s: float = 3600.0
    probe_s: float = 30.0
    patience_ms: float = 500.0
    daily_joules: float = 0.0
    device_profile: str = ""
    link_profile: str = ""
    max_model_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        check_range("choosing.window_s", self.window_s, 0.1, 86_400.0)
        check_range("choosing.dwell_s", self.dwell_s, 0.1, 86_400.0)
        check_range("choosing.dwell_max_s", self.dwell_max_s, self.dwell_s, 604_800.0)
        # three probes make a judgement, and all have to be in the window
        check_range("choosing.probe_s", self.probe_s, 0.05, self.window_s / 3)
        check_range("choosing.patience_ms", self.patience_ms, 0.0, 86_400_000.0)
        check_range("choosing.daily_joules", self.daily_joules, 0.0, 1e9)
        check_range("choosing.max_model_bytes", self.max_model_bytes, 1024, 1 << 40)
        if self.daily_joules and not self.device_profile:
            raise ConfigurationError(
                "choosing.daily_joules needs choosing.device_profile, which has the watts; got no file"
            )
