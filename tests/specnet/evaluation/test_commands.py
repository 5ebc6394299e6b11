"""The commands calibrate and evaluate on a real run: a small network, real HDF5, ONNX Runtime."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from specnet.calibration import RiskMethod, read_calibration
from specnet.commands import calibrate, evaluate
from specnet.datasets import SpectraTable, write_spectra
from specnet.datasets.bands import SubstanceBands
from specnet.errors import ConfigurationError, ModelError
from specnet.exits import REJECT_SCORES, SCORES
from specnet.nn import create_model
from specnet.preprocessing import pipeline_preset
from specnet.spectra import Quantity, SpectralAxis
from specnet.training import TrainConfig, load_run
from specnet.training.run import Run

CLASSES = ("calcite", "gypsum", "quartz")
AXIS = SpectralAxis(np.linspace(200.0, 1200.0, 128), Quantity.RAMAN_SHIFT)


def _table(seed: int, n: int = 120) -> SpectraTable:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    peaks = np.exp(-(((AXIS.values - np.array([[1086.0], [1008.0], [464.0]])) / 15) ** 2))
    counts = rng.poisson(200 + 300 * peaks[labels]).astype(np.uint16)
    return SpectraTable(
        intensity=counts,
        axis=AXIS,
        labels=labels,
        class_names=CLASSES,
        columns={"sample_id": np.arange(n)},
        holdout=(np.arange(n) % 3).astype(np.int8),
        group_by="sample_id",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with an untrained network, and its data."""
    folder = tmp_path_factory.mktemp("run")
    data = write_spectra(folder / "spectra.h5", _table(0))
    torch.manual_seed(0)
    run = Run(
        path=folder / "run",
        network=create_model("nano", n_points=AXIS.n_points, n_classes=3),
        pipeline=pipeline_preset("snv", AXIS),
        axis=AXIS,
        source_axis=AXIS,
        classes=CLASSES,
        config=TrainConfig(preset="nano", epochs=1),
        split_by="sample_id",
        split_origin="the file's own",
        intensity_unit="counts",
        provenance={},
    )
    run.save()
    return run.path, data


def _call(command: ModuleType, *words: object) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    document: dict[str, Any] = command.run(parser.parse_args([str(word) for word in words]))
    json.dumps(document, allow_nan=False)
    return document


def test_calibrate_writes_the_chosen_operating_point(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = made
    document = _call(calibrate, run, data, "--budget", "0.5")
    calibration = read_calibration(run / "calibration.json")
    assert (document["chosen"], calibration.chosen, document["n_calibration"]) == ("budget", "budget", 40)
    point = document["operating_points"]["budget"]
    assert point["mean_macs"] == calibration.mean_macs <= 0.5 * document["static_macs"]
    assert tuple(point["thresholds"]) == calibration.policy.thresholds
    assert "budget *" in capsys.readouterr().out


def test_evaluate_measures_the_test_part_and_draws(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = made
    (run / "calibration.json").unlink(missing_ok=True)
    report = _call(evaluate, run, data, "--plots", tmp_path / "figures")
    output = capsys.readouterr()
    assert "had no calibration" in output.err
    assert read_calibration(run / "calibration.json").chosen == "default"
    assert (report["n_test"], report["split_by"], report["calibration_current"]) == (40, "sample_id", True)
    written = json.loads((run / "evaluation.json").read_text())
    assert written["operating_point"] == report["operating_point"]
    assert report["operating_point"]["mean_us"] > 0
    assert f"{report['operating_point']['accuracy']:.2%}" in output.out
    assert len(report["plots"]) == 5
    assert all(Path(plot).parent == tmp_path / "figures" and Path(plot).stat().st_size for plot in report["plots"])


def test_evaluate_says_what_depth_is_worth_and_how_much_of_it_is_on_known_bands(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = made
    report = _call(evaluate, run, data, "--plots", tmp_path / "plain")
    assert report["compute_on_peaks"] is None
    assert report["worth"]["gain"] == pytest.approx(report["worth"]["network"] - report["worth"]["linear"])
    words = capsys.readouterr().out
    assert "a linear model (exit 0) is right on" in words
    assert "true bands" not in words
    bands = SubstanceBands(
        label=np.arange(3), position=np.array([1086.0, 1008.0, 464.0]), height=np.ones(3), width=np.full(3, 35.0)
    )
    known = write_spectra(tmp_path / "bands.h5", replace(_table(0), bands=bands))
    _call(calibrate, run, known, "--max-risk", "0.001", "--risk-method", "crc")  # so that nothing leaves early
    report = _call(evaluate, run, known, "--plots", tmp_path / "bands")
    on_peaks = report["compute_on_peaks"]
    regions = bands.regions(load_run(run).axis, 3)
    assert report["operating_point"]["exit_shares"][-1] == 1.0
    assert on_peaks["peak_share_of_positions"] == pytest.approx(regions.mean(), abs=0.02)
    assert on_peaks["enrichment"] == pytest.approx(
        on_peaks["share_of_unit_macs_on_peaks"] / on_peaks["peak_share_of_positions"]
    )
    assert on_peaks == report["compute_on_peaks_at_last_exit"]
    assert f"are {on_peaks['peak_share_of_positions']:.0%} of the positions" in capsys.readouterr().out
    plain, marked = ((tmp_path / folder / "depth_maps.png").read_bytes() for folder in ("plain", "bands"))
    assert plain != marked
    (run / "calibration.json").unlink()


def test_evaluate_keeps_a_calibration_and_says_when_it_is_of_other_data(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = made
    _call(calibrate, run, data)
    before = (run / "calibration.json").read_bytes()
    other = write_spectra(tmp_path / "other.h5", _table(1, n=150))
    report = _call(evaluate, run, other, "--plots", tmp_path)
    assert not report["calibration_current"]
    assert "made with other data or another training" in capsys.readouterr().err
    assert (run / "calibration.json").read_bytes() == before
    assert report["n_test"] == 50


def test_a_folder_that_is_no_run_and_a_broken_calibration_are_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = made
    with pytest.raises(ModelError, match="no finished training run"):
        _call(evaluate, tmp_path, data)
    (run / "calibration.json").write_text("{}")
    with pytest.raises(ModelError, match="is no valid calibration"):
        _call(evaluate, run, data)
    (run / "calibration.json").unlink()


def test_a_budget_that_cannot_be_met_changes_nothing(made: tuple[Path, Path]) -> None:
    run, data = made
    _call(calibrate, run, data)
    before = (run / "calibration.json").read_bytes()
    with pytest.raises(ConfigurationError, match="cannot be met"):
        _call(calibrate, run, data, "--budget", "2")
    assert (run / "calibration.json").read_bytes() == before


def test_budget_and_accuracy_exclude_each_other(made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _call(calibrate, *made, "--budget", "0.3", "--min-accuracy", "0.9")
    assert "not allowed with" in capsys.readouterr().err


def test_a_risk_and_a_rate_of_false_alarms_are_promised_written_and_measured(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = made
    document = _call(calibrate, run, data, "--max-risk", "0.5", "--confidence", "0.8", "--false-alarm", "0.2")
    output = capsys.readouterr()
    assert (document["chosen"], document["notes"]) == ("risk", [])
    assert document["risk"]["n_risk"] + document["reject"]["n_reject"] in (26, 27)
    assert (document["risk"]["method"], document["risk"]["confidence"]) == ("ucb", 0.8)
    assert document["risk"]["risk_bound"] <= 0.5
    assert "of accuracy is lost against the last exit with 80% confidence" in output.out
    assert "at most 20.00% of known" in output.out
    written = read_calibration(run / "calibration.json")
    assert written.risk is not None
    assert written.policy.reject == document["reject"]["score"] == "improbability"
    report = _call(evaluate, run, data, "--plots", tmp_path)
    assert report["risk"] == document["risk"]
    assert report["rejection"]["threshold"] == document["reject"]["threshold"]
    assert "called unknown although known" in capsys.readouterr().out


def test_a_risk_that_so_few_spectra_cannot_support_is_noted(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = made
    document = _call(calibrate, run, data, "--max-risk", "0.001", "--risk-method", "crc")
    assert document["risk"]["risk_bound"] == 0
    assert document["risk"]["least_risk"] == pytest.approx(1 / 21)
    assert set(document["operating_points"]["risk"]["exit_shares"][:-1]) == {0.0}
    assert "nothing leaves early" in capsys.readouterr().err


@pytest.mark.parametrize("score", ["gate", "patience", "auto"])
def test_any_score_can_be_calibrated_and_evaluated(made: tuple[Path, Path], tmp_path: Path, score: str) -> None:
    run, data = made
    document = _call(calibrate, run, data, "--score", score)
    assert document["score"] == score or (score == "auto" and document["score"] in SCORES)
    assert _call(evaluate, run, data, "--plots", tmp_path)["score"] == document["score"]


def test_choices_of_the_command_are_those_that_exist() -> None:
    parser = argparse.ArgumentParser()
    calibrate.add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions if action.choices}
    assert choices["score"] == (*SCORES, "auto")
    assert choices["reject_score"] == tuple(REJECT_SCORES)
    assert choices["risk_method"] == tuple(RiskMethod)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-risk", "2"), "a risk is a share"),
        (("--max-risk", "0.1", "--confidence", "1.5"), "a confidence is above 0 and below 1"),
        (("--false-alarm", "1"), "a rate of false alarms is above 0 and below 1"),
    ],
)
def test_bad_promises_are_refused_and_change_nothing(
    made: tuple[Path, Path], words: tuple[str, ...], message: str
) -> None:
    run, data = made
    _call(calibrate, run, data)
    before = (run / "calibration.json").read_bytes()
    with pytest.raises(ConfigurationError, match=message):
        _call(calibrate, run, data, *words)
    assert (run / "calibration.json").read_bytes() == before
