"""Checks of a bundle that is not trusted yet, in a process of their own (``python -m device.models.candidate``).

A job as JSON on stdin, a verdict as JSON on stdout. Apart from the service, because a graph can crash the runtime that
loads it, because a self-test needs the memory of all segments, and because the service then never loads the
cryptography.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from pathlib import Path

import msgspec

from device.classifier import LocalClassifier, Rejection
from device.spectrometers.axis import resolve_axis
from device.spectrometers.settings import SpectrometerSettings
from specnet.bundle import Bundle, parse_bundle, read_bundle
from specnet.errors import BundleError, SignatureError, SpecnetError
from specnet.handover import OWN_POINT, usual_split
from specnet.runtime import Segments, self_test
from specnet.signing import BundleSignature, TrustedKeys, check_bundle_bytes, decode_signature, read_limited
from specnet.spectra import SpectralAxis

MAX_JOB_BYTES = 64 * 1024
NICENESS = 10
MAX_SPECTRA = 8


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to check.

    Parameters
    ----------
    trust
        Folder of public keys; empty accepts a bundle without a signature.
    signature
        The signature file's content.
    bundle
        Path of the bundle; empty to verify the signature alone.
    current
        Path of the bundle in use, with which the instrument works; empty when there is none.
    spectrometer, split, operating_point
        The configuration that the model has to work with.
    cpu_s
        Computing time after which the process ends, in seconds.
    """

    trust: str
    signature: bytes = b""
    bundle: str = ""
    current: str = ""
    spectrometer: SpectrometerSettings = msgspec.field(default_factory=SpectrometerSettings)
    split: int | None = None
    operating_point: str = OWN_POINT
    cpu_s: int = 120


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; `error` is empty when everything is as it should be."""

    error: str = ""
    name: str = ""
    version: int = 0
    sha256: str = ""
    size: int = 0
    key_id: str = ""
    bundle_id: str = ""
    deviation: float = 0.0


def check(job: Job) -> Verdict:
    """Check signature, then content, then fit, then self-test: nothing is parsed of what nobody vouches for.

    Raises
    ------
    SpecnetError
        When something is not as it should be.
    """
    signature = _verified(job)
    if not job.bundle:
        assert signature is not None
        return _claimed(signature)
    data = read_limited(job.bundle)
    name = Path(job.bundle).name
    bundle = parse_bundle(data, name) if signature is None else check_bundle_bytes(data, signature, name)
    _check_fit(job, bundle)
    deviation = self_test(Segments(bundle))
    manifest = bundle.manifest
    return Verdict(
        name=manifest.name,
        version=manifest.version,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        key_id="" if signature is None else signature.key_id,
        bundle_id=bundle.bundle_id,
        deviation=deviation,
    )


def _verified(job: Job) -> BundleSignature | None:
    if not job.trust and not job.signature and job.bundle:
        return None
    if not job.signature:
        raise SignatureError("the bundle has no signature, and this device trusts signed ones alone")
    if not job.trust:
        raise SignatureError("the signature cannot be verified: models.trust_dir is not set")
    signature = decode_signature(job.signature)
    TrustedKeys(job.trust).verify(signature)
    return signature


def _claimed(signature: BundleSignature) -> Verdict:
    return Verdict(
        name=signature.name,
        version=signature.version,
        sha256=signature.sha256,
        size=signature.size,
        key_id=signature.key_id,
    )


def _check_fit(job: Job, bundle: Bundle) -> None:
    """Check that the instrument's spectra are what the model takes, and that it runs as configured."""
    pixels = resolve_axis(job.spectrometer, bundle.source_axis)
    _check_same_instrument(job, bundle, pixels.axis)
    manifest = bundle.manifest
    split = usual_split(manifest, job.operating_point) if job.split is None else job.split
    classifier = LocalClassifier(bundle, pixels, split)
    classifier.use_operating_point(job.operating_point)
    if pixels.axis != bundle.source_axis:
        return
    for spectrum in bundle.selftest().get("intensity", [])[:MAX_SPECTRA]:
        answer = classifier.classify(spectrum)
        if isinstance(answer, Rejection):
            raise BundleError(f"the model rejects a spectrum of its own self-test: {answer.reason}")


def _check_same_instrument(job: Job, bundle: Bundle, axis: SpectralAxis) -> None:
    """Check that the spectra which the bundle in use takes are those that this one wants."""
    try:
        current = read_bundle(job.current) if job.current else None
    except BundleError:  # it is no fault of the new one, which may be what repairs the device
        current = None
    if current is None:
        return
    found, expected = bundle.manifest.intensity_unit, current.manifest.intensity_unit
    if found != expected:
        raise BundleError(f"the model takes intensities in {found!r}, the one in use {expected!r}")
    old = resolve_axis(job.spectrometer, current.source_axis).axis
    if axis != old:
        raise BundleError(
            f"the model takes {axis.n_points} points from {axis.values[0]:g} to {axis.values[-1]:g} {axis.unit}, "
            f"the instrument gives {old.n_points} from {old.values[0]:g} to {old.values[-1]:g} {old.unit}"
        )


def main() -> int:
    """Read the job, write the verdict."""
    content = sys.stdin.buffer.read(MAX_JOB_BYTES + 1)
    job = msgspec.json.decode(content, type=Job)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s))
    try:
        verdict = check(job)
    except SpecnetError as error:
        verdict = Verdict(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main())
