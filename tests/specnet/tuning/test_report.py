"""The report says what the deployment says: files are read back and compared with it number by number."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from matplotlib.image import imread
from plotly.offline import get_plotlyjs
from support_cli import call
from support_profiles import TIMES, device_profile, gateway_profile
from support_tuned import deployment, few_points, many_points, point

from specnet.profiles import LINK_PRESETS, write_profile
from specnet.tuning.deployment import Deployment, read_deployment
from specnet.tuning.measures import MEASURES, percent
from specnet.tuning.page import make_page
from specnet.tuning.points import Point
from specnet.tuning.report import write_report
from specnet.tuning.scales import Scale

if TYPE_CHECKING:
    from support_trained import Trained

NO_ENERGY = [msgspec.structs.replace(one, energy_mj=0.0) for one in few_points()]
SLOW = point(2, "", 0.70, 4.0)
SHAPES: dict[str, Deployment] = {
    "usual": deployment(few_points(), slower=SLOW),
    "no slower": deployment(few_points(), wishes={"max_p95_ms": 2500.0, "min_accuracy": 0.74}),
    "local only": deployment([point(2, "", 0.70, 4.0), point(2, "", 0.6, 0.5)], slower=SLOW),
    "no energy": deployment(NO_ENERGY, slower=SLOW),
    "one option": deployment([point(1, "int8", 0.8, 800.0), point(1, "int8", 0.9, 8e8)], wishes={"max_p50_ms": 1e9}),
    "one point": deployment([point(1, "b1", 0.8, 800.0)]),
    "hundreds": deployment(many_points(400), slower=SLOW, gateway=gateway_profile()),
    "front of none": deployment(few_points(), front=(), best_of_options={}, operating_points={}),
    "risk": deployment(few_points(), max_risk=0.01, options=["0:raw", "1:b1-0.003"]),
    "bytes": deployment(few_points(), objective="mean_bytes", wishes={"max_energy_mj": 20.0, "min_accuracy": 0.7}),
}
COSTS = {"p95_ms", "mean_bytes", "energy_mj"}


class Page(HTMLParser):
    """Text, tags and figures of a report."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.figures: dict[str, dict[str, Any]] = {}
        # the library is four megabytes without a tag
        self.feed(source.replace(get_plotlyjs(), ""))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes = self.tags[-1][1]
            if attributes.get("class") == "figure":
                self.figures[str(attributes["data-plot"]).removeprefix("plot-")] = json.loads(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(made: Deployment) -> Page:
    return Page(make_page(made))


def hide_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plotly", "plotly.offline", "plotly.graph_objects"):
        monkeypatch.setitem(sys.modules, name, None)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def as_point(row: dict[str, str]) -> Point:
    plain: dict[str, Any] = {name: text for name, text in row.items() if name != "roles"}
    for name in ("thresholds", "exit_shares"):
        plain[name] = [float(word) for word in plain[name].split()]
    return msgspec.convert(plain, Point, strict=False)


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"]}


def series_of(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        t for t in figure["data"] if t["name"] not in {"best at this cost or less", "best of each option", "chosen"}
    ]


@pytest.mark.parametrize("made", SHAPES.values(), ids=SHAPES)
def test_all_files_of_every_shape_say_what_the_deployment_says(made: Deployment, tmp_path: Path) -> None:
    written = write_report(made, tmp_path / "new")
    assert {kind: path.name for kind, path in written.items()} == {
        "html": "report.html",
        "png": "tune.png",
        "csv": "front.csv",
    }
    assert tuple(map(as_point, rows_of(written["csv"]))) == made.front
    image = imread(written["png"])
    assert written["png"].read_bytes().startswith(b"\x89PNG\r\n")
    assert image.shape[0] > 500
    assert image.shape[1] > 700
    assert float(image[..., :3].std()) > 0.02
    page = Page(written["html"].read_text())
    assert {"p95_ms"} <= set(page.figures) <= COSTS
    for name, figure in page.figures.items():
        drawn = [(t, place) for t in series_of(figure) for place in range(len(t["x"]))]
        assert len(drawn) == len(made.front)
        zero = min((x for trace in figure["data"] for x in trace["x"]), default=0.0)
        costs = sorted(getattr(one, name) or zero for one in made.front)
        assert sorted(t["x"][place] for t, place in drawn) == pytest.approx(costs)
        assert sorted(t["y"][place] for t, place in drawn) == pytest.approx(
            sorted(100 * one.estimate for one in made.front)
        )
        assert all(len(t["x"]) == len(t["y"]) == len(t["hovertext"]) for t in series_of(figure))
        assert len(traces(figure)["best of each option"]["x"]) == len(made.best_of_options)
        labelled = ", ".join(label["hovertext"] for label in figure["layout"].get("annotations", []))
        options = [name if one.codec else "device" for name, one in made.best_of_options.items()]
        assert sorted(labelled.split(", ")) == sorted(options or [""])
        assert traces(figure)["chosen"]["y"] == [pytest.approx(100 * made.chosen.estimate)]
        low, high = figure["layout"]["xaxis"]["range"]
        shown = np.array([x for trace in figure["data"] for x in trace["x"]])
        on_axis = np.log10(shown) if figure["layout"]["xaxis"]["type"] == "log" else shown
        assert np.isfinite(on_axis).all()
        assert (low < on_axis).all()
        assert (on_axis < high).all()
        low, high = figure["layout"]["yaxis"]["range"]
        assert all(low < y < high for trace in figure["data"] for y in trace["y"])
        assert 1 <= len(figure["layout"]["xaxis"]["tickvals"]) <= 7


def test_a_written_deployment_gives_the_same_report(tmp_path: Path) -> None:
    made = SHAPES["no slower"]
    read = read_deployment(made.write(tmp_path / "deployment.json"))
    assert read == made
    first, second = write_report(made, tmp_path / "a"), write_report(read, tmp_path / "b")
    for kind in ("html", "csv"):
        assert first[kind].read_bytes() == second[kind].read_bytes()


def test_costs_that_are_zero_everywhere_are_not_drawn_but_mentioned() -> None:
    page = page_of(SHAPES["no energy"])
    assert set(page.figures) == {"p95_ms", "mean_bytes"}
    assert "Energy is not drawn" in page.text
    page = page_of(SHAPES["local only"])
    assert set(page.figures) == {"p95_ms", "energy_mj"}
    assert "no point sends anything" in page.text
    assert "Energy is not drawn" not in page.text


def test_axes_are_logarithmic_where_needed_and_have_a_place_for_zero() -> None:
    figures = page_of(SHAPES["usual"]).figures
    latency, sent = figures["p95_ms"]["layout"]["xaxis"], figures["mean_bytes"]["layout"]["xaxis"]
    assert latency["type"] == sent["type"] == "log"
    units = [text.split()[1] for text in latency["ticktext"]]
    assert (units[0], units[-1]) == ("ms", "h")
    assert sent["ticktext"][0] == "0"
    zero = sent["tickvals"][0]
    assert 0 < zero < 20
    assert set(traces(figures["mean_bytes"])["all on the device"]["x"]) == {zero}
    assert "a spectrum 0 bytes" in traces(figures["mean_bytes"])["all on the device"]["hovertext"][0]
    near = deployment([point(1, "b1", 0.8, 800.0), point(1, "int8", 0.9, 900.0)])
    assert page_of(near).figures["p95_ms"]["layout"]["xaxis"]["type"] == "linear"


@pytest.mark.parametrize("values", [(0.5, 8.64e8), (0.5,), (4.16, 4.17), (0.0, 60.0), (0.0, 0.0), (3e8, 3.1e8)])
def test_ticks_differ_from_each_other_on_every_axis(values: tuple[float, ...]) -> None:
    for measure in MEASURES:
        scale = Scale.of(values, measure)
        texts = [text for _, text in scale.ticks]
        assert 1 <= len(texts) == len(set(texts)) <= 7
        assert all(scale.low <= place <= scale.high for place, _ in scale.ticks)
        assert all(scale.low < scale.place(value) < scale.high for value in values)


def test_colours_stand_for_splits_and_markers_for_kinds_of_codec() -> None:
    found = {t["name"]: t["marker"] for t in series_of(page_of(SHAPES["usual"]).figures["p95_ms"])}
    assert set(found) == {
        "all on the device",
        "split 1, learned bottleneck",
        "split 0, raw spectrum",
    }
    same = deployment([point(1, "int8", 0.9, 2.0), point(1, "b1", 0.8, 1.0), point(0, "int8", 0.95, 3.0)])
    markers = {t["name"]: t["marker"] for t in series_of(page_of(same).figures["p95_ms"])}
    bottleneck, plain = markers["split 1, learned bottleneck"], markers["split 1, features as they are"]
    assert bottleneck["color"] == plain["color"] != markers["split 0, features as they are"]["color"]
    assert bottleneck["symbol"] != plain["symbol"] == markers["split 0, features as they are"]["symbol"]
    deep = [point(split, "int8", 0.5 + split / 100, 1.0 + split) for split in range(12)]
    colours = [t["marker"]["color"] for t in series_of(page_of(deployment(deep)).figures["p95_ms"])]
    assert len(set(colours)) == 12


def test_hovering_shows_all_numbers_and_the_table_the_differences() -> None:
    page = page_of(SHAPES["usual"])
    hover = traces(page.figures["p95_ms"])["chosen"]["hovertext"][0]
    for said in (
        "split 1, b1-0.001",
        "80.00 %",
        "78.77 %",
        "p50 286 ms",
        "p95 2 s",
        "mean 667 ms",
        "33.3 %",
        "60 bytes",
    ):
        assert said in hover
    for said in ("at most 400 bytes", "720,000 bytes an hour", "15 mJ", "never, 0.800, always", "66.7 %"):
        assert said in hover
    assert "10.0 points less accurate, 500 times as quick, 0 bytes instead of 60 bytes, 13 % of the energy" in page.text
    assert "0.5 points less accurate, 2.5 times as slow, 18 times the bytes, 10 times the energy" in page.text
    assert "0.1 points more accurate, 150,000 times as slow, 67 times the bytes, 20 times the energy" in page.text
    marked = percent(few_points()[0].cautious_estimate)
    assert f"smaller p95 latency, but the accuracy ({marked} marked down) is not within 0.3 points" in page.text
    assert "standard error of 3.2 points" in page.text
    assert "160 calibration spectra" in page.text
    assert "No limits were wished for." in page.text


def test_wishes_have_their_room_and_options_that_fail_are_named() -> None:
    page = page_of(SHAPES["no slower"])
    assert "accuracy at least 74.0 % 73.8 %" not in page.text
    chosen = SHAPES["no slower"].chosen
    assert (chosen.codec, chosen.p95_ms) == ("b1-0.001", 2000.0)
    assert "accuracy at least 74.0 % 78.8 % 4.8 points above" in page.text
    assert "p95 latency at most 2.5 s 2 s 20 % below" in page.text
    assert "everything on the device: closest with accuracy 68.8 %, wished: at least 74.0 %" in page.text
    assert "split 1, int8: closest with p95 latency 5 s, wished: at most 2.5 s" in page.text
    assert "split 0, raw: closest with p95 latency 3.47 days, wished: at most 2.5 s" in page.text
    assert "No other option fulfils the wishes." in page.text
    layout = page.figures["p95_ms"]["layout"]
    assert {(s["x0"], s["y0"]) for s in layout["shapes"]} == {(2500.0, 0), (0, 74.0)}
    # documents that do not list them: what stands on the front is known all the same
    page = page_of(msgspec.structs.replace(SHAPES["no slower"], unfit={}))
    assert "split 0, raw: closest with" in page.text


def test_what_the_link_cannot_carry_and_what_a_risk_excludes() -> None:
    page = page_of(SHAPES["risk"])
    assert (
        "split 1, b1-0.003: the link cannot carry what would have to be sent, or the risk cannot be shown" in page.text
    )
    assert "At most 1 points of accuracy may be lost" in page.text
    page = page_of(deployment(few_points(), options=["0:raw", "1:b1-0.003", "2:local"]))
    assert "split 1, b1-0.003: the link cannot carry what would have to be sent." in page.text
    assert "split 0, raw: " not in page.text


def test_a_slower_link_in_words() -> None:
    assert "Another option would be chosen: everything on the device instead of split 1, b1-0.001." in (
        page_of(SHAPES["usual"]).text
    )
    page = page_of(SHAPES["no slower"])
    assert (
        "Nothing fulfils the wishes then. The device alone would then have an estimated accuracy of 70.0 %" in page.text
    )
    chosen = SHAPES["usual"].chosen
    slow = msgspec.structs.replace(chosen, p95_ms=20_000.0)
    same = page_of(deployment(few_points(), slower=slow)).text
    assert "The choice stays (split 1, b1-0.001, the same thresholds)." in same
    assert "as accurate, 10 times as slow, about the same bytes, about the same energy" in same
    other = msgspec.structs.replace(slow, thresholds=(2.0, 0.9, -1.0))
    assert "with other thresholds." in page_of(deployment(few_points(), slower=other)).text


def test_options_that_come_out_the_same_share_a_label() -> None:
    same = [point(2, "", 0.70, 4.0), *(point(1, codec, 0.70, 4.0, offload_share=0.0) for codec in ("int8", "b1", "b2"))]
    points = [msgspec.structs.replace(one, mean_bytes=0.0, energy_mj=1.0) for one in same]
    page = page_of(deployment(points, wishes={"min_accuracy": 0.6}))
    (label,) = page.figures["p95_ms"]["layout"]["annotations"]
    assert label["text"] == "device and 3 more"
    assert label["hovertext"] == "device, 1:int8, 1:b1, 1:b2"
    assert "split 1, b2 (nothing would be sent)" in page.text
    assert page.text.count("the same p95 latency, and no better in the rest") == 3


def test_operating_points_and_conditions_are_there() -> None:
    text = page_of(SHAPES["hundreds"]).text
    for name in SHAPES["hundreds"].operating_points:
        assert f" {name} " in text
    for said in ("device lab/node-1", "link nb-iot", "gateway hall-2", "queue p50", "3,600 spectra an hour"):
        assert said in text
    assert "There is no profile of a gateway" not in text
    assert "There is no profile of a gateway" in page_of(SHAPES["usual"]).text


def test_the_page_needs_nothing_from_elsewhere_and_fits_a_phone() -> None:
    page = page_of(SHAPES["usual"])
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
        assert not {"src", "href", "srcset", "onload", "onerror"} & set(attributes)
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert not re.search(r"@import|@font-face|url\(\s*[\"']?(https?:)?//", page.source)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    assert "Plotly.newPlot" in page.source
    assert 3e6 < len(page.source) < 9e6


def test_names_with_special_characters_are_escaped(tmp_path: Path) -> None:
    bad = '<img src=x onerror="alert(1)">&</script><script>$x$'
    named = msgspec.structs.replace(device_profile(), name=bad)
    link = msgspec.structs.replace(LINK_PRESETS["wifi"], name=bad)
    points = [msgspec.structs.replace(one, codec=one.codec and bad) for one in few_points()]
    made = deployment(points, run=bad, data=bad, device=named, link=link, slower=points[2])
    made = msgspec.structs.replace(made, operating_points={bad: made.chosen}, unfit={f"1:{bad}": None})
    written = write_report(made, tmp_path)
    page = Page(written["html"].read_text())
    assert "img" not in {tag for tag, _ in page.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 2 + len(page.figures)
    assert page.text.count(bad) > 8
    for figure in page.figures.values():
        said = [a["text"] for a in figure["layout"]["annotations"]]
        said += [t for trace in series_of(figure) for t in trace["hovertext"]]
        assert not any("<img" in text or "<script" in text for text in said)
        assert any(bad in html.unescape(text) for text in said)
    assert {row["codec"] for row in rows_of(written["csv"])} == {bad, ""}


def test_csv_says_what_points_are_used_for(tmp_path: Path) -> None:
    rows = rows_of(write_report(SHAPES["usual"], tmp_path)["csv"])
    (chosen,) = [row for row in rows if "chosen" in row["roles"]]
    assert chosen["roles"] == "chosen; thrifty; best of 1:b1-0.001"
    assert as_point(chosen) == SHAPES["usual"].chosen


def test_without_plotly_there_are_picture_and_table_and_no_old_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(SHAPES["one point"], tmp_path)
    hide_plotly(monkeypatch)
    written = write_report(SHAPES["usual"], tmp_path)
    assert sorted(written) == ["csv", "png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.csv", "tune.png"]
    assert tuple(map(as_point, rows_of(written["csv"]))) == SHAPES["usual"].front


def test_the_command_writes_it_and_says_what_is_missing(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, device, out = tmp_path / "run", tmp_path / "device.json", tmp_path / "tuned"
    shutil.copytree(trained.run.path, run)
    segments = {str(index): TIMES for index in range(trained.run.network.n_exits)}
    codecs = {f"{split}:int8": TIMES for split in range(trained.run.network.n_exits - 1)}
    write_profile(device, msgspec.structs.replace(device_profile(), segments_us=segments, codecs_us=codecs))
    words = ("tune", run, trained.data, "--device", device, "--link", "nb-iot", "--out", out, "--json")
    called = call(*words)
    assert called.code == 0, called.err
    document = called.document
    assert [document[kind] for kind in ("html", "png", "csv")] == [
        str(out / name) for name in ("report.html", "tune.png", "front.csv")
    ]
    made = read_deployment(out / "deployment.json")
    assert tuple(map(as_point, rows_of(out / "front.csv"))) == made.front
    assert Page((out / "report.html").read_text()).figures.keys() >= {"p95_ms", "energy_mj"}
    hide_plotly(monkeypatch)
    called = call(*words)
    assert called.code == 0, called.err
    assert called.document["html"] is None
    lines = [line for line in called.err.splitlines() if "specnet-edge[tune]" in line]
    assert lines == ["plotly is not installed, so there is no report.html; pip install 'specnet-edge[tune]'"]
    assert not (out / "report.html").exists()
