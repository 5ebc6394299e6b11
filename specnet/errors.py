"""Every error that specnet raises on purpose.

::

    SpecnetError                  base; the command line turns it into one line and exit code 2
    ├── ConfigurationError        a configuration file, option or environment override
    ├── SpectrumError             intensity: length, NaN, all zero, saturated
    │   └── AxisError             spectral axis: missing, not ascending, wrong unit, does not cover
    ├── DatasetError              a file of spectra: foreign, truncated, without labels, without splits
    ├── ModelError                a network or checkpoint: unknown preset, shape, incompatible weights
    │   └── EngineMemoryError     not enough memory to compute so many spectra at once
    ├── BundleError               a *.specnet file: damaged, too large, foreign
    │   ├── BundleIntegrityError  a hash or a self-test vector does not agree
    │   ├── BundleVersionError    written by a newer format
    │   └── SignatureError        a signature or key: missing, foreign, not trusted, of another bundle
    ├── ModelStoreError           the device's models: unknown, going back, no room, cannot be fetched
    ├── CodecError                encoded features: damaged or not what was announced
    ├── WireError                 a message: malformed, invalid field
    │   ├── MessageTooLargeError  over the size limit
    │   └── MessageVersionError   another protocol version
    ├── ProfileError              a profile of a device, link or gateway: foreign, damaged, impossible numbers
    ├── SpectrometerError         the instrument: garbage, unplugged, timeout
    ├── BrokerError               the broker cannot be used as configured
    └── SinkError                 where a gateway keeps its results
        ├── SinkDownError         cannot be reached or written now: keep the results and try again
        └── SinkRefusedError      will never take one of these results

Messages name what was found and what was expected.
"""

from __future__ import annotations


class SpecnetError(Exception):
    """Base of all errors raised on purpose."""


class ConfigurationError(SpecnetError):
    """A configuration file, command-line option or environment override is invalid."""


class SpectrumError(SpecnetError):
    """An intensity array cannot be a spectrum that the model can judge."""


class AxisError(SpectrumError):
    """A spectral axis is missing, malformed, in another unit, or does not cover what is needed."""


class DatasetError(SpecnetError):
    """A file of spectra is damaged, foreign or lacks something that was asked for."""


class ModelError(SpecnetError):
    """A network, its configuration or its checkpoint is unusable."""


class EngineMemoryError(ModelError):
    """There is not enough memory to compute so many spectra at once; fewer may do."""


class BundleError(SpecnetError):
    """A bundle cannot be used."""


class BundleIntegrityError(BundleError):
    """The content of a bundle does not agree with its hashes or its self-test vectors."""


class BundleVersionError(BundleError):
    """A bundle was written in a format that this release does not know."""


class SignatureError(BundleError):
    """A signature is missing, not trusted or of another bundle, or a key cannot be used."""


class ModelStoreError(SpecnetError):
    """The models of a device cannot be changed as asked: unknown, an older version, no room, or not to be had."""


class CodecError(SpecnetError):
    """Encoded features are damaged or are not what the message announced."""


class WireError(SpecnetError):
    """A message between device and gateway is malformed or invalid."""


class MessageTooLargeError(WireError):
    """A message is over its size limit."""


class MessageVersionError(WireError):
    """A message speaks another version of the protocol."""


class ProfileError(SpecnetError):
    """A profile of a device, a link or a gateway cannot be read, written or believed."""


class SpectrometerError(SpecnetError):
    """The spectrometer does not answer as its protocol says."""


class BrokerError(SpecnetError):
    """The MQTT broker cannot be used as configured."""


class SinkError(SpecnetError):
    """Results cannot be kept where a gateway's configuration says."""


class SinkDownError(SinkError):
    """The sink cannot be reached or written now; the same results can be written later."""


class SinkRefusedError(SinkError):
    """The sink will not take at least one of these results, however often it is tried."""
