"""Profiles: what a device, a link and a gateway take in time, bytes and energy, measured rather than guessed.

A profile is a JSON file of its own, so that costs can be compared on another machine than where they were measured.
"""

from specnet.profiles.device import DeviceProfile
from specnet.profiles.files import MAX_PROFILE_BYTES, Profile, json_schema, read_profile, write_profile
from specnet.profiles.gateway import GatewayProfile, Load
from specnet.profiles.link import LinkProfile
from specnet.profiles.lora import LoraModulation
from specnet.profiles.presets import LINK_PRESETS
from specnet.profiles.quantiles import PROBABILITIES, Quantiles
from specnet.profiles.view import describe

__all__ = [
    "LINK_PRESETS",
    "MAX_PROFILE_BYTES",
    "PROBABILITIES",
    "DeviceProfile",
    "GatewayProfile",
    "LinkProfile",
    "Load",
    "LoraModulation",
    "Profile",
    "Quantiles",
    "describe",
    "json_schema",
    "read_profile",
    "write_profile",
]
