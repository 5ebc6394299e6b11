"""Profiles as options name them: files, presets, or this machine measured now."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from specnet.console import progress
from specnet.errors import ConfigurationError

if TYPE_CHECKING:
    from specnet.profiles import DeviceProfile, GatewayProfile, LinkProfile
    from specnet.training import Run

LOCAL = "local"
SPECTRA = 200


def given_link(name: str) -> LinkProfile:
    """Find the preset or read the file of a link; `ConfigurationError` when it is neither."""
    from specnet.profiles import LINK_PRESETS, LinkProfile, read_profile

    if name in LINK_PRESETS:
        return LINK_PRESETS[name]
    if not Path(name).exists():
        raise ConfigurationError(f"--link is {name!r}, expected a file or one of {', '.join(LINK_PRESETS)}")
    profile = read_profile(name)
    if not isinstance(profile, LinkProfile):
        raise ConfigurationError(f"{name} is the profile of a {profile.kind}, expected one of a link")
    return profile


def given_device(name: str, trained: Run, data: Path, watts: float = 0.0) -> DeviceProfile:
    """Read the file of a device, or measure this machine where it is called ``local``.

    Parameters
    ----------
    name
        File or ``local``.
    trained, data
        What runs where it is measured.
    watts
        Power while it computes, for a measured one; 0 where it is not known.

    Raises
    ------
    ConfigurationError
        When the file is no profile of a device, or the power is below 0.
    """
    from specnet.profiles import DeviceProfile, read_profile

    if name == LOCAL:
        return _device_here(trained, data, watts)
    profile = read_profile(name)
    if not isinstance(profile, DeviceProfile):
        raise ConfigurationError(f"{name} is the profile of a {profile.kind}, expected one of a device")
    return profile


def given_gateway(name: str | None, trained: Run, data: Path) -> GatewayProfile | None:
    """Read the file of a gateway, or measure this machine where it is called ``local``; None for none.

    Raises
    ------
    ConfigurationError
        When the file is no profile of a gateway.
    """
    from specnet.profiles import GatewayProfile, read_profile

    if name is None:
        return None
    if name == LOCAL:
        return _gateway_here(trained, data)
    profile = read_profile(name)
    if not isinstance(profile, GatewayProfile):
        raise ConfigurationError(f"{name} is the profile of a {profile.kind}, expected one of a gateway")
    return profile


def _device_here(trained: Run, data: Path, watts: float) -> DeviceProfile:
    """Time the run's bundle on this machine, as the device would run it."""
    import numpy as np

    from device.profiling.measure import profile_bundle
    from device.profiling.power import Power
    from device.spectrometers.axis import PixelAxis
    from specnet.bundle import read_bundle
    from specnet.packing import pack

    if watts < 0:
        raise ConfigurationError(f"--watts is {watts}, expected 0 or more")
    with tempfile.TemporaryDirectory() as folder, progress("measuring this machine", SPECTRA) as advance:
        path = Path(folder) / "run.specnet"
        pack(trained, data, path, name="run")
        bundle = read_bundle(path)
        pixels = PixelAxis(bundle.source_axis, np.arange(bundle.source_axis.n_points))
        power = Power(watts, 0.0, "stated") if watts else None
        return profile_bundle(bundle, pixels, SPECTRA, name=LOCAL, stated=power, progress=lambda done: advance(1))


def _gateway_here(trained: Run, data: Path) -> GatewayProfile:
    """Time the run's deeper segments on this machine, as a gateway of default settings would run them."""
    from gateway.config import GatewaySettings
    from gateway.profiling import measure_gateway
    from specnet.packing import pack

    with tempfile.TemporaryDirectory() as folder, progress("measuring this machine as a gateway", None) as advance:
        path = Path(folder) / "run" / "1" / "model.specnet"
        path.parent.mkdir(parents=True)
        pack(trained, data, path, name="run")
        settings = GatewaySettings(name=LOCAL, store=folder)
        return measure_gateway(settings, "run", (), 0, progress=lambda text: advance(1, text))
