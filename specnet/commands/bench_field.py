"""``specnet bench field``: a year of trouble in minutes, through the real device process."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet.console import note, progress, say, table
from specnet.errors import SpecnetError
from specnet.ranges import check_range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from specnet.demo.endurance import Endurance

HELP = "run a device, a gateway and a broker while processes are killed, the disk is full and the link breaks"
EXAMPLE = "specnet bench field minerals.specnet --spectra 100000"
NOISE = (0.0, 0.1)
"""Least and most noise that is added to the bundle's spectra, as a share of a spectrum's range."""
POOL = 500
MOST_SHOWN = 5
MOST_SPECTRA = 10_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="file that `specnet export` wrote")
    parser.add_argument(
        "--spectra", type=int, default=5000, metavar="N", help="spectra that get a last word (default: 5000)"
    )
    parser.add_argument(
        "--gap-s", type=float, default=4.0, metavar="S", help="mean time from one fault to the next (default: 4)"
    )
    parser.add_argument("--hold-s", type=float, default=5.0, metavar="S", help="longest fault (default: 5)")
    parser.add_argument(
        "--history", type=int, default=20_000, metavar="N", help="final answers that the device keeps (default: 20000)"
    )
    parser.add_argument(
        "--interval-s", type=float, default=0.0, metavar="S", help="from one spectrum to the next (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the faults and the noise (default: 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the field test and compare all that the device said with its journal.

    Raises
    ------
    ConfigurationError
        When an option is out of range.
    BundleError
        When the bundle is damaged or has no self-test spectra.
    SpecnetError
        When a process fails, or a promise was not kept.
    """
    from specnet.demo.endurance import Course, run_course

    check_range("--spectra", args.spectra, 1, MOST_SPECTRA)
    check_range("--history", args.history, 1, MOST_SPECTRA)
    check_range("--gap-s", args.gap_s, 0, 3600)
    check_range("--hold-s", args.hold_s, 0, 3600)
    check_range("--interval-s", args.interval_s, 0, 3600)
    counts = noisy_counts(args.bundle, args.seed)
    course = Course(
        n=args.spectra,
        seed=args.seed,
        gap_s=args.gap_s,
        hold_s=args.hold_s,
        interval_s=args.interval_s,
        history_rows=args.history,
    )
    with tempfile.TemporaryDirectory(prefix="specnet-field-") as name:
        with progress("spectra in the field", args.spectra) as advance:
            came = run_course(args.bundle, counts, Path(name) / "field", course, advance=advance)
        document = _document(args, came)
        _show(came, document)
    if not came.passed:
        details = [*found_texts(came), f"accounts {came.accounts}"]
        raise SpecnetError(f"a promise was not kept: {'; '.join(details)}")
    return document


def found_texts(came: Endurance) -> list[str]:
    """Name what was found wrong, the first few of each kind."""
    found = came.findings
    kinds = ("said_twice", "contradictions", "unsaid", "different")
    return [f"{kind} {getattr(found, kind)[:MOST_SHOWN]}" for kind in kinds if getattr(found, kind)]


def noisy_counts(bundle: Path, seed: int) -> NDArray[np.uint32]:
    """Make spectra ``(n, n_points)`` of a bundle's self-test: some easy, some for the gateway."""
    import numpy as np

    from specnet.bundle import read_bundle
    from specnet.errors import BundleError

    intensity = read_bundle(bundle).selftest().get("intensity")
    if intensity is None or not len(intensity):
        raise BundleError(f"bundle {bundle} has no self-test spectra")
    generator = np.random.default_rng(seed)
    rows = np.asarray(intensity, dtype=np.float64)[np.arange(POOL) % len(intensity)]
    scale = np.linspace(*NOISE, POOL)[:, None] * np.ptp(rows, axis=1, keepdims=True)
    noisy = np.rint(rows + scale * generator.standard_normal(rows.shape))
    counts: NDArray[np.uint32] = np.clip(noisy, 1, 60_000).astype(np.uint32)
    return counts[generator.permutation(POOL)]


def _document(args: argparse.Namespace, came: Endurance) -> dict[str, Any]:
    import numpy as np

    memory = np.array([size.memory for size in came.sizes if size.memory], dtype=np.float64)
    disk = np.array([size.disk for size in came.sizes], dtype=np.float64)
    found = came.findings
    return {
        "bench": "field",
        "spectra": args.spectra,
        "seed": args.seed,
        "interval_s": args.interval_s,
        "passed": came.passed,
        "took_s": round(came.took_s, 1),
        "boots": came.books.boots,
        "faults": dict(came.faults),
        "faults_left_out": list(came.left_out),
        "accounts": came.accounts,
        "findings": {
            "said": found.said,
            "not_recorded": found.not_recorded,
            "compared": found.compared,
            "missing": found.missing,
            "anew": found.anew,
            **{name: len(getattr(found, name)) for name in ("said_twice", "contradictions", "unsaid", "different")},
        },
        "by": dict(came.books.sources),
        "reasons": dict(came.books.reasons.most_common(20)),
        "provisional": came.books.kinds["provisional"],
        "memory_mb": {"first": _mb(memory[:1]), "most": _mb(memory), "last": _mb(memory[-1:])},
        "disk_mb": {"first": _mb(disk[:1]), "most": _mb(disk), "last": _mb(disk[-1:])},
    }


def _mb(values: NDArray[np.float64]) -> float | None:
    return round(float(values.max()) / 1e6, 2) if len(values) else None


def _show(came: Endurance, document: dict[str, Any]) -> None:
    table("faults", ("fault", "times"), [(name, str(n)) for name, n in sorted(came.faults.items())])
    if came.left_out:
        note(f"not tried, because mounting a small disk needs root: {', '.join(came.left_out)}")
    accounts = came.accounts
    table(
        "last words",
        ("recorded", "answered", "rejected", "dropped", "lost", "pending"),
        [tuple(str(accounts[name]) for name in ("recorded", "answered", "rejected", "dropped", "lost", "pending"))],
    )
    table("dropped and lost, and why", ("reason", "spectra"), [(k, str(n)) for k, n in document["reasons"].items()])
    memory, disk = document["memory_mb"], document["disk_mb"]
    say(
        f"{'passed' if came.passed else 'FAILED'}: {came.books.boots} starts in {came.took_s:.0f} s; memory at most "
        f"{memory['most']} MB, on disk at most {disk['most']} MB; said twice {document['findings']['said_twice']}, "
        f"not said {document['findings']['unsaid']}"
    )
