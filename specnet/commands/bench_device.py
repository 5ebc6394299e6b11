"""``specnet bench device``: from counts to an answer, start, memory and installed size of the node's software."""

from __future__ import annotations

import argparse
import platform
import re
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.commands.bench_field import noisy_counts
from specnet.console import note, progress, say, table
from specnet.errors import ConfigurationError
from specnet.ranges import check_range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELP = "measure a node: time from counts to an answer, start, memory, answers a second, installed size"
EXAMPLE = "specnet bench device minerals.specnet --spectra 1000"
WARM_UP = 50
MOST_SPECTRA = 100_000
STARTS = 5
TIMEOUT_S = 60.0
DISTRIBUTION = "specnet-edge"
EXTRA = "device"
CONFIGURATION = """\
site = "bench"
device = "node"
bundle = "{bundle}"
state_dir = "{state}"
split = {split}

[spectrometer]
driver = "c12880ma"
port = "{port}"
integration_time_s = 0.00001
interval_s = 0.0
full_scale = 0.0

[broker]
# nobody is there
host = "127.0.0.1"
port = 1

[uplink]
drain_s = 0.0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="file that `specnet export` wrote")
    parser.add_argument("--spectra", type=int, default=1000, metavar="N", help="calls that are timed (default: 1000)")
    parser.add_argument(
        "--rest-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="pause before each, as slow instruments make (default: 0)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise on the spectra (default: 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time the classifier in this process, then start whole device processes that have everything but a network.

    Raises
    ------
    ConfigurationError
        When an option is out of range.
    BundleError
        When the bundle is damaged or has no self-test spectra.
    SpecnetError
        When a process fails.
    """
    check_range("--spectra", args.spectra, 1, MOST_SPECTRA)
    check_range("--rest-ms", args.rest_ms, 0, 10_000)
    counts = noisy_counts(args.bundle, args.seed)
    with progress("from counts to answers", args.spectra) as advance:
        latency = _latency(args, counts, advance)
    with progress("starting devices", STARTS) as advance, tempfile.TemporaryDirectory(prefix="specnet-device-") as name:
        processes = [_process(args, counts, Path(name) / str(i), advance) for i in range(STARTS)]
    node = {key: _median([process[key] for process in processes]) for key in processes[0]}
    node["most_memory_mb"] = max(process["most_memory_mb"] for process in processes)
    installed = installed_bytes(DISTRIBUTION, EXTRA)
    _show(args, latency, node, installed)
    return {
        "bench": "device",
        "spectra": args.spectra,
        "rest_ms": args.rest_ms,
        "threads": 1,
        "batch": 1,
        "machine": platform.processor() or platform.machine(),
        "latency": latency,
        "starts": STARTS,
        "process": node,
        "installed_mb": None if installed is None else {key: round(n / 1e6, 1) for key, n in installed.items()},
    }


def _latency(args: argparse.Namespace, counts: NDArray[np.uint32], advance: Any) -> dict[str, Any]:
    """Time single spectra on one thread, by the exit that answers them, and preprocessing for itself."""
    import numpy as np

    from device.classifier import LocalAnswer, LocalClassifier
    from device.spectrometers.axis import PixelAxis
    from specnet.bundle import read_bundle
    from specnet.spectra import check_intensity

    bundle = read_bundle(args.bundle)
    axis = bundle.source_axis
    pixels = PixelAxis(axis, np.arange(axis.n_points))
    classifier = LocalClassifier(bundle, pixels, bundle.manifest.n_stages)
    prepare = bundle.pipeline.bind(axis).prepare
    ways: dict[str, list[float]] = {
        "preprocessing": [],
        **{f"exit {k}": [] for k in range(bundle.manifest.policy.n_exits)},
    }
    for number in range(WARM_UP + args.spectra):
        spectrum = counts[number % len(counts)]
        time.sleep(args.rest_ms / 1e3)
        before = time.perf_counter()
        answer = classifier.classify(spectrum)
        took = time.perf_counter() - before
        if not isinstance(answer, LocalAnswer):
            raise ConfigurationError(f"spectrum {number} of the bundle's own cannot be judged: {answer.reason}")
        time.sleep(args.rest_ms / 1e3)
        before = time.perf_counter()
        prepare(pixels.arrange(check_intensity(spectrum, pixels.n_points)))
        prepared = time.perf_counter() - before
        if number >= WARM_UP:
            ways["preprocessing"].append(1e6 * prepared)
            ways[f"exit {answer.exit_index}"].append(1e6 * took)
            advance(1)
    return {
        "n_points": axis.n_points,
        "us": {way: _quantiles(times) for way, times in ways.items()},
    }


def _quantiles(times: list[float]) -> dict[str, float | None]:
    """Quantiles and number of times; those of an exit at which no spectrum left are None.

    The 10 % quantile is what a machine does whose caches nobody else uses.
    """
    import numpy as np

    if not times:
        return {"n": 0, "p10": None, "median": None, "p95": None}
    return {"n": len(times)} | {
        name: round(float(np.quantile(times, q)), 1) for name, q in (("p10", 0.1), ("median", 0.5), ("p95", 0.95))
    }


def _process(args: argparse.Namespace, counts: NDArray[np.uint32], folder: Path, advance: Any) -> dict[str, float]:
    """Run one device on all of the spectra, with everything done on it."""
    from specnet.bundle import read_bundle
    from specnet.demo.children import Child
    from specnet.demo.replay_file import write_replay
    from specnet.files import write_bytes

    folder.mkdir()
    port = folder / "spectrometer"
    replay = write_replay(folder / "replay.npz", counts)
    text = CONFIGURATION.format(
        bundle=args.bundle.resolve(),
        state=folder / "state",
        port=port,
        split=read_bundle(args.bundle).manifest.n_stages,
    )
    configuration = write_bytes(folder / "node.toml", text.encode())
    board = Child("spectrometer", ["device.cli", "simulate", str(replay), "--loop", "--link", str(port)], folder)
    with board:
        board.expect("port", TIMEOUT_S)
        began = time.perf_counter()
        words = ["device.cli", "run", "--config", str(configuration), "--count", str(args.spectra)]
        with Child("device", words, folder) as device:
            device.expect("bundle", TIMEOUT_S)
            ready_s = time.perf_counter() - began
            device.expect("label", TIMEOUT_S)
            first_s = time.perf_counter() - began
            last_s, answers, memory = first_s, 1, _memory_mb(device.pid)
            while (record := device.next_record(TIMEOUT_S)) is not None:
                if record.get("type") == "answer":
                    answers += 1
                    last_s = time.perf_counter() - began
                # it only grows, and is gone with the process
                memory = max(memory, _memory_mb(device.pid))
            device.wait(TIMEOUT_S)
    advance(1)
    return {
        "ready_s": round(ready_s, 3),
        "first_answer_s": round(first_s, 3),
        "answers_s": round((answers - 1) / max(last_s - first_s, 1e-9), 1) if answers > 1 else 0.0,
        "most_memory_mb": memory,
    }


def _memory_mb(pid: int) -> float:
    """Most memory that a process ever had in RAM; 0 where the kernel does not tell."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return round(int(found.group(1)) * 1024 / 1e6, 1) if found else 0.0


def installed_bytes(distribution: str, extra: str) -> dict[str, int] | None:
    """Bytes on disk of a distribution with one extra, by distribution; None when it is not installed.

    What is in an editable installation is counted where it is.
    """
    sizes: dict[str, int] = {}
    waiting = [(distribution, extra)]
    while waiting:
        name, wanted = waiting.pop()
        if name in sizes:
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name == distribution:
                return None
            continue
        sizes[name] = sum(_size(Path(str(file.locate()))) for file in found.files or ())
        waiting += [(other, "") for other in _requirements(found, wanted)]
    return sizes


def _requirements(found: metadata.Distribution, extra: str) -> list[str]:
    names = []
    for requirement in found.requires or ():
        needed, _, condition = requirement.partition(";")
        if "extra" in condition and f"extra == '{extra}'" not in condition.replace('"', "'"):
            continue
        if (name := re.match(r"[A-Za-z0-9._-]+", needed.strip())) is not None:
            names.append(name.group(0))
    return names


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _median(values: list[float]) -> float:
    import numpy as np

    return float(np.median(values))


def _show(
    args: argparse.Namespace, latency: dict[str, Any], node: dict[str, float], installed: dict[str, int] | None
) -> None:
    table(
        f"{args.bundle.name}: microseconds from counts ({latency['n_points']} points) to an answer, 1 thread, batch 1",
        ("answered at", "spectra", "p10", "median", "p95"),
        [
            (way, str(us["n"]), *("-" if us[name] is None else f"{us[name]:.0f}" for name in ("p10", "median", "p95")))
            for way, us in latency["us"].items()
        ],
    )
    say(
        f"the whole process, median of {STARTS}: ready after {node['ready_s']:.2f} s, first answer after "
        f"{node['first_answer_s']:.2f} s, then {node['answers_s']:.0f} answers/s; "
        f"most memory {node['most_memory_mb']:.1f} MB"
    )
    if installed is None:
        note(f"{DISTRIBUTION} is not installed: its size is not known")
    else:
        largest = sorted(installed.items(), key=lambda item: -item[1])[:4]
        say(
            f"installed with the extra {EXTRA}: {sum(installed.values()) / 1e6:.0f} MB ("
            + ", ".join(f"{name} {n / 1e6:.0f}" for name, n in largest)
            + ")"
        )
