"""A bundle's manifest as a person wants to see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from specnet import console
from specnet.exits import NEVER

if TYPE_CHECKING:
    from specnet.exits import ExitPolicy
    from specnet.manifest import Manifest

SHOWN_CLASSES = 12


def show_bundle(path: Path, manifest: Manifest) -> None:
    """Write what the model is, what it expects, what it costs and when spectra leave."""
    size = sum(info.size for info in manifest.files.values())
    facts = {
        "model": f"{manifest.name}, version {manifest.version}, id {manifest.bundle_id}",
        "made": f"{manifest.created} by {manifest.producer}",
        "size": f"{size / 1024:.0f} kB in {len(manifest.files)} files",
        "classes": _classes(manifest.classes),
        "axis": _axis(manifest.axis),
        "trained on": f"{_axis(manifest.source_axis)}; intensity in {manifest.intensity_unit or '(no unit)'}",
        "preprocessing": " > ".join(_step(step) for step in manifest.pipeline) or "none",
        "data": f"{manifest.provenance.get('data', 'not known')}, split by {manifest.provenance.get('split_by', '?')}",
    }
    console.say(str(path))
    width = max(map(len, facts))
    for name, value in facts.items():
        console.say(f"  {name:<{width}}  {value}")
    console.say()
    _show_segments(manifest)
    console.say()
    points = dict(manifest.operating_points)
    if manifest.policy not in points.values():
        points["own"] = manifest.policy
    rows = [
        (
            f"{name} *" if policy == manifest.policy else name,
            _placement(manifest, name),
            f"{policy.combiner}, classes corrected" if policy.biases else policy.combiner,
            policy.score,
            _thresholds(policy),
        )
        for name, policy in points.items()
    ]
    console.table(
        "when spectra leave (* in force)",
        ("operating point", "split and codec, predicted", "combiner", "score", "thresholds of exits 0.."),
        rows,
    )


def _show_segments(manifest: Manifest) -> None:
    rows = []
    for index, segment in enumerate(manifest.segments):
        positions, channels = segment.input_shape
        rows.append(
            (
                "0, linear" if index == 0 else str(index),
                f"{positions} x {channels}",
                f"{segment.fixed_macs:,}",
                f"{segment.units} x {segment.unit_macs:,}" if segment.units else "",
                manifest.codecs.get(str(index), ""),
            )
        )
    columns = ("segment", "input", "fixed MACs", "units x MACs a position", "codec of a split here")
    console.table("segments", columns, rows)


def _classes(classes: tuple[str, ...]) -> str:
    more = f", ... ({len(classes) - SHOWN_CLASSES} more)" if len(classes) > SHOWN_CLASSES else ""
    return f"{len(classes)}: {', '.join(classes[:SHOWN_CLASSES])}{more}"


def _axis(axis: dict[str, Any]) -> str:
    values = axis["values"]
    return f"{axis['quantity']} {values[0]:g} - {values[-1]:g} {axis['unit']}, {len(values)} points"


def _step(step: dict[str, Any]) -> str:
    """Name and the options that are set; explicit grids are told by the axis."""
    options = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in step.items()
        if name != "step" and value is not None and not isinstance(value, list | tuple)
    ]
    return f"{step['step']} ({', '.join(options)})" if options else str(step["step"])


def _placement(manifest: Manifest, name: str) -> str:
    """Where tuning put a point, and what it promised of it; '' where it did not."""
    placement = manifest.placements.get(name)
    if placement is None:
        return ""
    text = f"{placement.split} {placement.codec}".rstrip()
    expected = placement.predicted
    if expected is None:
        return text
    return f"{text}, {100 * expected.accuracy:.1f} %, {expected.mean_bytes:.0f} bytes a spectrum, {expected.link.name}"


def _thresholds(policy: ExitPolicy) -> str:
    """Thresholds in words: an exit that nobody takes is closed, the last one takes everybody."""
    texts = ["closed" if t >= NEVER else "all" if t < 0 else f"{t:.3f}" for t in policy.thresholds[:-1]]
    return "  ".join([*texts, "all"])
