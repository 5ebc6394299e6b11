"""A tuned deployment as processes, and the mistakes that one can make with it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_broker import require
from support_cli import Called, call
from support_trained import Trained

from specnet.calibration import read_calibration
from specnet.calibration.exit_table import ExitTable
from specnet.datasets import Holdout
from specnet.profiles import DeviceProfile, Quantiles, write_profile
from specnet.tuning.deployment import read_deployment

N = 30
TIMES = Quantiles.constant(50.0)


@pytest.fixture(scope="module")
def tuned(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment that sends about half of the spectra."""
    folder = tmp_path_factory.mktemp("tuned")
    stages = trained.run.network.config.n_stages
    device = DeviceProfile(
        name="board",
        created="2025-03-01T10:00:00+00:00",
        software="specnet",
        bundle="0123456789abcdef",
        threads=1,
        n_spectra=10,
        preprocessing_us=TIMES,
        segments_us={str(k): TIMES for k in range(stages + 1)},
        policy_us=TIMES,
        codecs_us={"0:raw": TIMES, **{f"{k}:int8": TIMES for k in range(1, stages)}},
        active_watts=0.0,
        idle_watts=0.0,
        power="unknown",
        memory_bytes=1 << 20,
    )
    profile = write_profile(folder / "device.json", device)
    words = ("--device", profile, "--link", "ethernet", "--out", folder, "--spectra-per-hour", 36_000)
    called = call("tune", trained.run.path, trained.data, *words)
    assert called.code == 0, called.err
    deployment = read_deployment(folder / "deployment.json")
    held = trained.run.cache(trained.data, Holdout.CALIBRATION).logits
    scores = ExitTable.of(held, read_calibration(trained.run.calibration_path).policy).scores[1]
    above = float(np.median(scores)) + 1e-6
    point = msgspec.structs.replace(
        deployment.best_of_options["1:int8"], thresholds=(2.0, above, *(0.0,) * (stages - 1))
    )
    points = {**deployment.operating_points, "chosen": point}
    changed = msgspec.structs.replace(deployment, chosen=point, operating_points=points)
    return changed.write(folder / "changed.json")


def check(tuned: Path, trained: Trained, out: Path, *options: object) -> Called:
    return call("bench", "deployment", tuned, trained.run.path, trained.data, "--out", out, *options)


def mistake(called: Called, *texts: str) -> None:
    assert called.code == 2, called.err
    complaint = called.err.splitlines()[-1]
    assert complaint.startswith("specnet: ")
    for text in texts:
        assert text in complaint


@pytest.mark.parametrize("whose", ["test", "calibration"])
def test_what_was_predicted_is_what_happens(tuned: Path, trained: Trained, tmp_path: Path, whose: str) -> None:
    require("mosquitto")
    called = check(tuned, trained, tmp_path, "--spectra", N, "--predict-on", whose, "--json")
    assert called.code == 0, called.err
    document = called.document
    assert document["n"] == N
    assert document["lost"] == document["duplicates"] == document["rejected"] == 0
    rows = {row["measure"]: row for row in document["rows"]}
    assert rows["sent"]["measured"] > 0
    sent = document["link_messages"]["up"]["offload"]
    assert sent == document["link_messages"]["down"]["result"]
    assert 0 <= sent - round(rows["sent"]["measured"] * N / 100) <= 5  # the warm-up is no part of the measures
    exits = [row for name, row in rows.items() if name.startswith("leave at exit")]
    assert sum(row["measured"] for row in exits) == pytest.approx(100)
    if whose == "test":
        # the same network in torch and in ONNX Runtime: a spectrum or two may be on the other side of a threshold
        assert all(abs(row["difference"]) < 7 for row in exits)
        assert rows["bytes of a request"]["holds"]
    assert json.loads(Path(document["json"]).read_text())["rows"] == document["rows"]
    with Path(document["csv"]).open() as file:
        assert [row["measure"] for row in csv.DictReader(file)] == list(rows)
    assert Path(document["png"]).read_bytes().startswith(b"\x89PNG")


def test_a_deployment_of_other_weights(tuned: Path, trained: Trained, tmp_path: Path) -> None:
    other = msgspec.structs.replace(read_deployment(tuned), weights_sha256="0" * 64).write(tmp_path / "other.json")
    mistake(check(other, trained, tmp_path), "weights are others")


def test_files_that_are_none(tuned: Path, trained: Trained, tmp_path: Path) -> None:
    mistake(check(tmp_path / "none.json", trained, tmp_path), "cannot read deployment")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    mistake(check(broken, trained, tmp_path), "is no deployment")
    mistake(check(tuned, trained, tmp_path, "--link", "carrier-pigeon"), "expected a file or one of ethernet")
    elsewhere = shutil.copytree(trained.run.path, tmp_path / "run")
    (elsewhere / "weights.safetensors").unlink()
    mistake(call("bench", "deployment", tuned, elsewhere, trained.data, "--out", tmp_path), "no finished training run")


def test_runs_that_would_take_too_long(tuned: Path, trained: Trained, tmp_path: Path) -> None:
    mistake(check(tuned, trained, tmp_path, "--spectra-per-hour", 1), "take", "minutes", "at most 60")
    mistake(check(tuned, trained, tmp_path, "--link", "lorawan-dr0"), "cannot carry", "--spectra-per-hour")
    mistake(check(tuned, trained, tmp_path, "--link", "lorawan-dr5", "--spectra-per-hour", 1), "minutes, at most 60")


def test_more_spectra_than_there_are(tuned: Path, trained: Trained, tmp_path: Path) -> None:
    mistake(check(tuned, trained, tmp_path, "--spectra", 100_000), "--spectra is 100000, expected 5 to")
