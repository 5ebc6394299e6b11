"""Having a bundle checked by a process of its own, whatever that bundle does to it."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import msgspec

from device.config import DeviceConfiguration
from device.models.candidate import Job, Verdict
from specnet.errors import BundleError, ModelStoreError

MAX_VERDICT_BYTES = 64 * 1024
SIGNATURE_TIMEOUT_S = 60.0
MAX_ERROR = 400


class CheckTimeoutError(BundleError):
    """The checks of a bundle took too long."""


class Checker:
    """Verifies signatures and tries bundles for one device.

    Parameters
    ----------
    configuration
        Trust, instrument and split of the device.
    """

    def __init__(self, configuration: DeviceConfiguration) -> None:
        self._configuration = configuration

    def verify_signature(self, signature: bytes) -> Verdict:
        """Verify a signature file alone: who vouches for which bundle.

        Raises
        ------
        BundleError
            When nobody that is trusted does.
        ModelStoreError
            When no process can be started, or the machine is too busy for it.
        """
        job = Job(trust=self._configuration.models.trust_dir, signature=signature)
        try:
            return _run(job, SIGNATURE_TIMEOUT_S)
        except CheckTimeoutError as error:
            # nothing of a bundle was run yet: this says nothing about it
            raise ModelStoreError(str(error)) from error

    def check(self, bundle: Path, signature: bytes, current: Path | None) -> Verdict:
        """Verify, parse, fit to the instrument and self-test a bundle.

        Parameters
        ----------
        bundle
            A file that nobody changes.
        signature
            The signature file's content; empty where nobody is trusted.
        current
            The bundle in use.

        Raises
        ------
        BundleError
            When anything is wrong with it; crashing the process or taking too long is wrong too.
        ModelStoreError
            When no process can be started.
        """
        configuration = self._configuration
        timeout = configuration.models.check_timeout_s
        job = Job(
            trust=configuration.models.trust_dir,
            signature=signature,
            bundle=str(bundle),
            current="" if current is None else str(current),
            spectrometer=configuration.spectrometer,
            split=configuration.split,
            operating_point=configuration.operating_point,
            cpu_s=math.ceil(timeout),
        )
        return _run(job, timeout)


def _run(job: Job, timeout: float) -> Verdict:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "device.models.candidate"],
            input=msgspec.json.encode(job),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckTimeoutError(f"the bundle's checks took over {timeout:g} s") from error
    except OSError as error:
        raise ModelStoreError(f"no process for the bundle's checks: {error.strerror}") from error
    if done.returncode != 0 or len(done.stdout) > MAX_VERDICT_BYTES:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
        raise BundleError(f"the bundle's checks ended with code {done.returncode}: {last[0][:MAX_ERROR]}")
    try:
        verdict = msgspec.json.decode(done.stdout, type=Verdict)
    except msgspec.MsgspecError as error:
        raise BundleError(f"the bundle's checks gave no verdict: {error}") from error
    if verdict.error:
        raise BundleError(verdict.error)
    return verdict
