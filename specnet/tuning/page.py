"""The report of ``specnet tune`` as one HTML page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from specnet.profiles import describe
from specnet.tuning.deployment import LOCAL_ONLY, SLOWER, Deployment, option_name
from specnet.tuning.figures import panel_figure, thresholds_text
from specnet.tuning.measures import BYTES, ENERGY, MEASURES, duration, energy, percent, size
from specnet.tuning.panels import CHOSEN_COLOUR, make_panels
from specnet.tuning.points import Point
from specnet.tuning.wording import (
    PURPOSES,
    broken_wishes,
    differences,
    left_out,
    margins,
    option_text,
    standard_error,
    why_chosen,
    why_not,
)

_COSTS = ("accuracy", "p50", "p95", "bytes a spectrum", "bytes an hour", "energy")
_LEFT_OUT = {
    BYTES.name: "Bytes are not drawn: no point sends anything.",
    ENERGY.name: "Energy is not drawn: neither the device's nor the link's profile knows a power, so every point has "
    "0 mJ.",
}
_STYLE = f"""
body {{ font: 16px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem; margin: 0 auto;
  padding: 0.8rem; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.15rem; margin-top: 2rem; }}
.wide {{ overflow-x: auto; }} .plot {{ width: 100%; min-height: 520px; }}
table {{ border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid #ddd; }}
td.words {{ min-width: 15rem; }} tr.chosen td {{ font-weight: 600; }}
tr.chosen td:first-child {{ border-left: 4px solid {CHOSEN_COLOUR}; padding-left: 0.5rem; }}
pre {{ font-size: 0.8rem; overflow-x: auto; overflow-wrap: normal; }}
"""
_SCRIPT = """
for (const block of document.querySelectorAll("script.figure")) {
  const figure = JSON.parse(block.textContent);
  // a finger that moves over a figure scrolls the page
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false;
  Plotly.newPlot(block.dataset.plot, figure.data, figure.layout, {responsive: true, displaylogo: false});
}
"""


def make_page(deployment: Deployment) -> str:
    """Write the whole page.

    Raises
    ------
    ModuleNotFoundError
        Without plotly.
    """
    # `specnet tune` works without it
    from plotly.offline import get_plotlyjs

    parts = (_chosen, _figures, _why, _slower, _operating_points, _conditions)
    title = escape(f"{deployment.run} on {deployment.device.name} over {deployment.link.name}")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n{''.join(part(deployment) for part in parts)}<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _chosen(deployment: Deployment) -> str:
    chosen = deployment.chosen
    return _paragraph(
        f"Chosen: {option_text(chosen)}. Estimated accuracy {percent(chosen.estimate)}, half of the answers within "
        f"{duration(chosen.p50_ms)} and 95 % within {duration(chosen.p95_ms)}, {percent(chosen.offload_share)} of the "
        f"spectra sent, {size(chosen.mean_bytes)} a spectrum."
    ) + _paragraph(standard_error(deployment))


def _figures(deployment: Deployment) -> str:
    panels = make_panels(deployment)
    drawn = {panel.measure.name: panel_figure(panel) for panel in panels}
    text = _heading("What can be had") + _paragraph(
        f"The {len(deployment.front):,} points that no other beats in everything. Colours stand for split points, "
        "markers for kinds of codec; rings are the best point of each option under the wishes, labelled "
        "split:codec ('device': everything there); the star is the chosen one; dashed lines are wishes. Touch or "
        "point at a mark to see its numbers."
    )
    for measure in MEASURES:
        if measure.name in drawn:
            text += _heading(f"Accuracy against {measure.heading}", 3) + _figure(measure.name, drawn[measure.name])
        else:
            text += _paragraph(_LEFT_OUT[measure.name])
    return text


def _why(deployment: Deployment) -> str:
    chosen, own = deployment.chosen, option_name(deployment.chosen)
    rows = [(option_text(chosen), *_costs(chosen), "the chosen point", "")]
    for name, point in deployment.best_of_options.items():
        if name != own:
            silent = point.codec and not point.offload_share
            named = f"{option_text(point)} (nothing would be sent)" if silent else option_text(point)
            rows.append((named, *_costs(point), differences(point, chosen), why_not(point, deployment)))
    text = _heading("Why the chosen one wins") + _paragraph(why_chosen(deployment))
    if len(rows) > 1:
        columns = ("option", *_COSTS, "against the chosen one", "why not")
        text += _paragraph("Against the best that every other option has under the same wishes:")
        text += _table(columns, rows, {0}, {len(columns) - 2, len(columns) - 1})
    else:
        text += _paragraph("No other option fulfils the wishes.")
    return text + _unfit(deployment) + _wishes(deployment)


def _unfit(deployment: Deployment) -> str:
    entries = []
    for name, point in left_out(deployment).items():
        if point is None:
            carried = "the link cannot carry what would have to be sent"
            shown = f"{carried}, or the risk cannot be shown for it" if deployment.max_risk is not None else carried
            entries.append(f"{_named(name)}: {shown}.")
        else:
            closest = differences(point, deployment.chosen)
            entries.append(
                f"{option_text(point)}: closest with {broken_wishes(point, deployment)} (against the chosen one "
                f"{closest})."
            )
    if not entries:
        return ""
    listed = "".join(f"<li>{escape(entry)}</li>\n" for entry in entries)
    return f"{_paragraph('These options cannot fulfil the wishes:')}<ul>\n{listed}</ul>\n"


def _wishes(deployment: Deployment) -> str:
    text = ""
    if deployment.wishes:
        text = _paragraph("The wishes, and how far the chosen point is from each limit:")
        text += _table(("wish", "limit", "chosen point", "room"), margins(deployment))
    else:
        text = _paragraph("No limits were wished for.")
    if deployment.max_risk is not None:
        text += _paragraph(
            f"At most {100 * deployment.max_risk:g} points of accuracy may be lost against the whole network; that was "
            f"shown with confidence {percent(deployment.confidence)}."
        )
    return text


def _slower(deployment: Deployment) -> str:
    chosen, slower = deployment.chosen, deployment.slower
    text = _heading(f"If the link gets {SLOWER:g} times slower")
    if slower is None:
        text += _paragraph("Nothing fulfils the wishes then.")
        local = deployment.operating_points.get(LOCAL_ONLY)
        if local is None:
            return text
        return text + _paragraph(
            f"The device alone would then have an estimated accuracy of {percent(local.estimate)} and a p95 latency of "
            f"{duration(local.p95_ms)}."
        )
    if (slower.split, slower.codec) != (chosen.split, chosen.codec):
        change = f"Another option would be chosen: {option_text(slower)} instead of {option_text(chosen)}."
    elif slower.thresholds != chosen.thresholds:
        change = f"The option stays ({option_text(chosen)}), with other thresholds."
    else:
        change = f"The choice stays ({option_text(chosen)}, the same thresholds)."
    rows = [
        ("as it is", option_text(chosen), *_costs(chosen), ""),
        (f"{SLOWER:g} times slower", option_text(slower), *_costs(slower), differences(slower, chosen)),
    ]
    columns = ("link", "option", *_COSTS, "against now")
    return text + _paragraph(change) + _table(columns, rows, {0}, {len(columns) - 1})


def _operating_points(deployment: Deployment) -> str:
    rows = [
        (
            name,
            PURPOSES.get(name, ""),
            option_text(point),
            percent(point.offload_share),
            *_costs(point),
            size(point.bytes_per_spectrum),
            thresholds_text(point),
        )
        for name, point in deployment.operating_points.items()
    ]
    return (
        _heading("Operating points for the device to switch between")
        + _paragraph("The numbers of a point for a slow link are those on that link.")
        + _table(("name", "for", "option", "sent", *_COSTS, "a request", "thresholds"), rows, words={1, 11})
    )


def _conditions(deployment: Deployment) -> str:
    profiles = (deployment.device, deployment.link, deployment.gateway)
    text = _heading("Conditions") + _paragraph(
        f"Run {deployment.run}, data {deployment.data}, {deployment.n_spectra:,} calibration spectra, tuned "
        f"{deployment.created}. {deployment.spectra_per_hour:,g} spectra an hour from one device; "
        f"{deployment.gateway_requests_s:,g} requests a second at the gateway from all."
    )
    if deployment.gateway is None:
        text += _paragraph("There is no profile of a gateway: its segments count as on the device, and nothing waits.")
    return text + "".join(f"<pre>{escape(describe(profile))}</pre>\n" for profile in profiles if profile is not None)


def _costs(point: Point) -> tuple[str, ...]:
    return (
        percent(point.estimate),
        duration(point.p50_ms),
        duration(point.p95_ms),
        size(point.mean_bytes),
        size(point.bytes_per_hour),
        energy(point.energy_mj) if point.energy_mj else "-",
    )


def _named(name: str) -> str:
    split, _, codec = name.partition(":")
    return "everything on the device" if codec == "local" else f"split {split}, {codec}"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>\n"


def _heading(text: str, level: int = 2) -> str:
    return f"<h{level}>{escape(text)}</h{level}>\n"


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], marked: set[int] | None = None, words: set[int] | None = None
) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = ""
    for index, row in enumerate(rows):
        cells = "".join(
            f'<td class="words">{escape(cell)}</td>' if place in (words or ()) else f"<td>{escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        body += f'<tr class="chosen">{cells}</tr>\n' if index in (marked or ()) else f"<tr>{cells}</tr>\n"
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}</table></div>\n'


def _figure(name: str, figure: Mapping[str, Any]) -> str:
    # "<" would let a text end the script
    document = json.dumps(figure, allow_nan=False).replace("<", "\\u003c")
    return (
        f'<div id="plot-{name}" class="plot"></div>\n'
        f'<script type="application/json" class="figure" data-plot="plot-{name}">{document}</script>\n'
    )
