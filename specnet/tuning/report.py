"""The report of a tuned deployment: a page to explore, a picture and a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec

from specnet.files import write_bytes
from specnet.tuning.deployment import Deployment
from specnet.tuning.page import make_page
from specnet.tuning.picture import draw_tuning
from specnet.tuning.points import Point

PAGE, PICTURE, TABLE = "report.html", "tune.png", "front.csv"
MISSING = "plotly is not installed, so there is no report.html; pip install 'specnet-edge[tune]'"
ROLES = "roles"
_SEVERAL = "; "


def write_report(deployment: Deployment, folder: Path) -> dict[str, Path]:
    """Write ``report.html``, ``tune.png`` and ``front.csv``.

    Parameters
    ----------
    deployment
        What tuning decided.
    folder
        Where to; it is made.

    Returns
    -------
    dict
        Paths by "html", "png" and "csv"; no "html" where plotly is not installed, and none is left of an older report.
    """
    written = {
        "png": draw_tuning(deployment, folder / PICTURE),
        "csv": write_bytes(folder / TABLE, front_table(deployment).encode()),
    }
    try:
        page = make_page(deployment)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "plotly":
            raise
        (folder / PAGE).unlink(missing_ok=True)
        return written
    return {"html": write_bytes(folder / PAGE, page.encode()), **written}


def front_table(deployment: Deployment) -> str:
    """CSV of the front, a column for each field of `specnet.tuning.points.Point` and one for what a point is used for.

    Numbers are written so that reading them gives the same ones; several in one field are set apart by spaces.
    """
    names = [field.name for field in msgspec.structs.fields(Point)]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*names, ROLES])
    for point in deployment.front:
        values = [getattr(point, name) for name in names]
        cells = [" ".join(map(str, value)) if isinstance(value, tuple) else value for value in values]
        rows.writerow([*cells, _SEVERAL.join(_roles(point, deployment))])
    return text.getvalue()


def _roles(point: Point, deployment: Deployment) -> list[str]:
    switched = [name for name, one in deployment.operating_points.items() if one == point]
    return switched + [f"best of {name}" for name, one in deployment.best_of_options.items() if one == point]
