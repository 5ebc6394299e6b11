"""Codecs: what a device sends, as few bytes as it can be, and back."""

from specnet.codec.exit_state import StateLayout
from specnet.codec.features import (
    CODECS,
    LEVELS,
    MAX_ELEMENTS,
    CheckedFeatures,
    Codec,
    EncodedFeatures,
    check_sum,
    decode_features,
    decode_many,
    encode_features,
)
from specnet.codec.learned import BottleneckInfo, LearnedCodec
from specnet.codec.rans import FrequencyTables
from specnet.codec.spectrum import pack_spectrum, unpack_spectrum

RAW = "raw"
"""Codec of a spectrum as the instrument gave it, on the axis of the training spectra; the gateway preprocesses it."""

__all__ = [
    "CODECS",
    "LEVELS",
    "MAX_ELEMENTS",
    "RAW",
    "BottleneckInfo",
    "CheckedFeatures",
    "Codec",
    "EncodedFeatures",
    "FrequencyTables",
    "LearnedCodec",
    "StateLayout",
    "check_sum",
    "decode_features",
    "decode_many",
    "encode_features",
    "pack_spectrum",
    "unpack_spectrum",
]
