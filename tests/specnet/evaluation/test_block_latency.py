"""``specnet bench blocks``: units run exactly where the input says, and the files agree with the document."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from specnet.cli import main
from specnet.errors import ConfigurationError, ModelError
from specnet.evaluation.block_latency import DENSE, ROWS, by_stage, measure_blocks
from specnet.evaluation.steered import MAX_RUNS, run_mask, steered_network, steering_input
from specnet.export import export_segments
from specnet.export.session import open_session
from specnet.nn import BLOCKS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("positions", [8, 32, 63, 250])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.1])
def test_masks_have_the_wanted_share_in_few_runs(positions: int, share: float) -> None:
    mask = run_mask(positions, share)
    assert mask.shape == (positions,)
    assert mask.sum() == max(3, round(share * positions))
    edges = np.diff(np.concatenate([[0], mask.astype(int), [0]]))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    assert 1 <= len(begins) <= MAX_RUNS
    assert (ends - begins).min() >= 3


def test_nothing_active_is_a_mask_too() -> None:
    assert not run_mask(20, 0.0).any()


@pytest.mark.parametrize("block", sorted(BLOCKS))
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_units_run_exactly_where_the_input_says(block: str, share: float) -> None:
    network = steered_network("tiny", 400, block, 2, adaptive=True)
    segments = export_segments(network)
    for index in range(1, network.n_exits):
        features = steering_input(network, index, share, np.random.default_rng(1))
        assert features.shape[1:] == segments[index].info.input_shape
        (depth,) = open_session(segments[index].data).run(["depth"], {"features": features})
        mask = run_mask(network.config.positions[index - 1], share)
        np.testing.assert_array_equal(depth[0], 2 * mask)


def test_every_block_stage_and_share_is_measured() -> None:
    rounds: list[None] = []
    found = measure_blocks(300, [1.0, 0.25], presets=["nano"], repeats=2, advance=lambda: rounds.append(None))
    assert len(rounds) == 2
    stages = by_stage(found)
    assert len(stages) == 3
    for stage in stages:
        positions, channels = stage[0].positions, stage[0].channels
        assert {(r.block, r.form, r.share) for r in stage} == {
            (block, form, share) for block in BLOCKS for form, share in ((DENSE, 1.0), (ROWS, 1.0), (ROWS, 0.25))
        }
        for result in stage:
            unit = steered_network("nano", 300, result.block, 1, adaptive=False).unit_macs()[result.stage - 1]
            assert result.macs == pytest.approx(unit * positions * result.active)
            assert (result.positions, result.channels) == (positions, channels)
            assert np.isfinite(result.us)
            assert result.active == pytest.approx(run_mask(positions, result.share).mean())


def test_numbers_without_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="repeats is 0"):
        measure_blocks(300, [1.0], repeats=0)
    for shares in ([], [0.0], [1.5]):
        with pytest.raises(ConfigurationError, match="active shares are"):
            measure_blocks(300, shares)
    with pytest.raises(ModelError, match="unknown preset 'huge'"):
        measure_blocks(300, [1.0], presets=["huge"])


def test_the_command_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "bench",
        "blocks",
        "--json",
        "--points",
        "300",
        "--presets",
        "nano",
        "--repeats",
        "2",
        "--active",
        "1",
        ".2",
    ]
    assert main([*arguments, "--out", str(tmp_path / "blocks")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "blocks" / "blocks.json").read_text()) == document
    with (tmp_path / "blocks" / "blocks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(document["blocks"]) == 3 * len(BLOCKS) * 3
    for row, entry in zip(rows, document["blocks"], strict=True):
        assert (row["block"], row["form"], int(row["positions"])) == (entry["block"], entry["form"], entry["positions"])
        assert float(row["us"]) == pytest.approx(entry["us"], abs=0.01)
    assert (tmp_path / "blocks" / "blocks.png").read_bytes().startswith(b"\x89PNG")
    assert [winner["stage"] for winner in document["fastest"]] == [1, 2, 3]
    assert all(set(winner["at"]) == {"dense", "100%", "20%"} for winner in document["fastest"])


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "blocks", "--active", "2"]) == 2
    assert capsys.readouterr().err == "specnet: active shares are [2.0], expected numbers above 0 and up to 1\n"
