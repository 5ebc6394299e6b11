"""What a residual unit costs in ONNX Runtime: every block, at the stages of presets, dense and with halted positions.

Legend: P positions, C channels, U units, m active rows.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from specnet.errors import ConfigurationError
from specnet.evaluation.steered import steered_network, steering_input
from specnet.export import export_segments
from specnet.export.session import open_session
from specnet.files import write_bytes
from specnet.nn import BLOCKS, SpecNet

DENSE, ROWS = "dense", "rows"
UNITS = 2
"""Units of the measured stages: halting scores are computed once for all units of a stage, two is the usual number."""
WARM_UP = 20


@dataclass(frozen=True)
class BlockLatency:
    """One unit at one stage.

    Parameters
    ----------
    preset, stage, channels, positions
        Where it runs: the preset's stage, from 1, with C channels and P positions.
    block
        Name of the block.
    form
        ``dense``: every position, without gates. ``rows``: gathered rows of active positions; a share of the gates,
        gathering and scattering are in its time.
    share
        Share of active positions that was asked for; 1 in the dense form.
    active
        Share of the positions that really ran.
    macs
        Multiply-accumulates of the unit that really ran for one spectrum.
    us
        Median microseconds of one unit: what a segment with `UNITS` units takes longer than one without, divided by
        `UNITS`.
    """

    preset: str
    stage: int
    channels: int
    positions: int
    block: str
    form: str
    share: float
    active: float
    macs: float
    us: float


@dataclass(frozen=True)
class _Case:
    """A segment with units, measured against the same one without."""

    network: SpecNet
    preset: str
    stage: int
    form: str
    share: float
    session: ort.InferenceSession
    features: NDArray[np.float32]
    without: ort.InferenceSession

    def result(self, us: float) -> BlockLatency:
        config, segment = self.network.config, self.stage
        positions = config.positions[segment - 1]
        active = 1.0
        if self.form == ROWS:
            (depth,) = self.session.run(["depth"], {"features": self.features})
            active = float(depth.mean()) / UNITS
        macs = self.network.unit_macs()[segment - 1] * positions * active
        channels = config.widths[segment - 1]
        return BlockLatency(
            self.preset, segment, channels, positions, config.block, self.form, self.share, active, macs, us / UNITS
        )


def measure_blocks(
    n_points: int,
    active: Sequence[float],
    *,
    presets: Sequence[str] = ("tiny", "small"),
    repeats: int = 200,
    advance: Callable[[], None] = lambda: None,
) -> list[BlockLatency]:
    """Measure every registered block in every stage of the presets: batch 1, one thread.

    All segments are called in turn, again and again, so that whatever else the machine does meets all of them alike.

    Parameters
    ----------
    n_points
        Length of a spectrum; it decides the positions of the stages.
    active
        Shares of active positions of the row form, each above 0 and up to 1.
    presets
        Whose stages.
    repeats
        Calls of each segment.
    advance
        Called after each round of calls, `repeats` times.

    Raises
    ------
    ConfigurationError
        When a number makes no sense.
    ModelError
        When a preset is unknown or the spectrum too short for it.
    """
    if repeats < 1:
        raise ConfigurationError(f"repeats is {repeats}, expected at least 1")
    if not active or not all(0 < share <= 1 for share in active):
        raise ConfigurationError(f"active shares are {list(active)}, expected numbers above 0 and up to 1")
    cases = [case for preset in presets for case in _cases(preset, n_points, active)]
    medians = _interleaved_us(cases, repeats, advance)
    return [case.result(us) for case, us in zip(cases, medians, strict=True)]


def _cases(preset: str, n_points: int, active: Sequence[float]) -> Iterator[_Case]:
    rng = np.random.default_rng(0)
    bare = _sessions(steered_network(preset, n_points, next(iter(BLOCKS)), 0, adaptive=False))
    for block in BLOCKS:
        for form, shares in ((DENSE, (1.0,)), (ROWS, active)):
            network = steered_network(preset, n_points, block, UNITS, adaptive=form == ROWS)
            sessions = _sessions(network)
            for stage in range(1, network.config.n_stages + 1):
                for share in shares:
                    features = steering_input(network, stage, share, rng)
                    yield _Case(network, preset, stage, form, share, sessions[stage], features, bare[stage])


def _sessions(network: SpecNet) -> list[ort.InferenceSession]:
    return [open_session(segment.data) for segment in export_segments(network)]


def _interleaved_us(cases: Sequence[_Case], repeats: int, advance: Callable[[], None]) -> NDArray[np.float64]:
    """Median of what the units add: a segment with and the same without are called right after one another."""
    added = np.empty((WARM_UP + repeats, len(cases)))
    for repeat in range(len(added)):
        for index, case in enumerate(cases):
            feeds = {"features": case.features}
            begin = time.perf_counter()
            case.without.run(None, feeds)
            middle = time.perf_counter()
            case.session.run(None, feeds)
            added[repeat, index] = time.perf_counter() - middle - (middle - begin)
        if repeat >= WARM_UP:
            advance()
    median: NDArray[np.float64] = np.median(added[WARM_UP:], axis=0) * 1e6
    return median


def by_stage(latencies: Sequence[BlockLatency]) -> list[list[BlockLatency]]:
    """Group by preset and stage, in the order in which they were measured."""
    stages: dict[tuple[str, int], list[BlockLatency]] = {}
    for latency in latencies:
        stages.setdefault((latency.preset, latency.stage), []).append(latency)
    return list(stages.values())


def write_csv(path: Path | str, latencies: Sequence[BlockLatency]) -> Path:
    """Write one line a measurement, atomically."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(BlockLatency)], lineterminator="\n")
    writer.writeheader()
    for latency in latencies:
        row = asdict(latency)
        rounded = {"active": f"{latency.active:.4f}", "macs": f"{latency.macs:.0f}", "us": f"{latency.us:.2f}"}
        writer.writerow({**row, **rounded})
    return write_bytes(path, text.getvalue().encode())
