"""A whole `DeviceProfile` of this machine."""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from device.config import DeviceConfiguration
from device.models.starting import bundle_in_use
from device.models.store import ModelStore
from device.profiling.flushes import outbox_times
from device.profiling.power import Power, measure_power
from device.profiling.steps import REST_S, StepRunner
from device.spectrometers.axis import PixelAxis, resolve_axis
from specnet import __version__
from specnet.bundle import Bundle, read_bundle
from specnet.profiles import DeviceProfile, Quantiles
from specnet.profiles.fields import now

_PAGE_BYTES = resource.getpagesize()


def measure_device(
    configuration: DeviceConfiguration,
    n_spectra: int,
    *,
    stated: Power | None = None,
    rest_s: float = REST_S,
    progress: Callable[[int], None] = lambda done: None,
) -> DeviceProfile:
    """Run all segments of the configured bundle on its self-test spectra and time every step.

    Parameters
    ----------
    configuration
        Names bundle, spectrometer axis and threads.
    n_spectra
        Spectra to run.
    stated
        Power as a person knows it; otherwise it is measured where that is possible.
    rest_s
        Pause before each spectrum, in seconds.
    progress
        Told how many spectra are done.

    Raises
    ------
    BundleError
        When the bundle cannot be used; `AxisError` or `ConfigurationError` when the spectrometer's axis cannot.
    """
    bundle = read_bundle(bundle_in_use(ModelStore(configuration.state_dir), Path(configuration.bundle)))
    return profile_bundle(
        bundle,
        resolve_axis(configuration.spectrometer, bundle.source_axis),
        n_spectra,
        state_dir=Path(configuration.state_dir),
        name=f"{configuration.site}/{configuration.device}",
        threads=configuration.threads,
        stated=stated,
        rest_s=rest_s,
        progress=progress,
    )


def profile_bundle(
    bundle: Bundle,
    pixels: PixelAxis,
    n_spectra: int,
    *,
    name: str,
    threads: int = 1,
    stated: Power | None = None,
    state_dir: Path | None = None,
    rest_s: float = REST_S,
    progress: Callable[[int], None] = lambda done: None,
) -> DeviceProfile:
    """Run all segments of a bundle on its self-test spectra; parameters and errors as `measure_device`.

    `state_dir` is on the disk that requests are kept on; that of temporary files by default.
    """
    runner = StepRunner(bundle, pixels, threads=threads)
    times = runner.run(n_spectra, rest_s=rest_s, progress=progress)
    memory_bytes = resident_bytes()
    power = stated or measure_power(lambda: runner.run(1, rest_s=0.0))
    return DeviceProfile(
        name=name,
        created=now(),
        software=(
            f"specnet {__version__}, ONNX Runtime {ort.__version__}, numpy {np.__version__}, "
            f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        ),
        bundle=bundle.bundle_id,
        threads=threads,
        n_spectra=n_spectra,
        preprocessing_us=Quantiles.of(times.preprocessing),
        segments_us={key: Quantiles.of(values) for key, values in times.segments.items()},
        policy_us=Quantiles.of(times.policy),
        codecs_us={key: Quantiles.of(values) for key, values in times.codecs.items()},
        active_watts=power.active_watts,
        idle_watts=power.idle_watts,
        power=power.source,
        memory_bytes=memory_bytes,
        outbox_us=Quantiles.of(outbox_times(state_dir)),
    )


def resident_bytes() -> int:
    """Memory of this process that is in RAM; the most that it ever was where the kernel does not tell the present."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
