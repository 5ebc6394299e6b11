"""The whole command line on real spectra, where the data sets lie beside the project or in $SPECNET_REFERENCE_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support_cli import call

BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FOLDER = Path(os.environ.get("SPECNET_REFERENCE_DATA", BESIDE))

pytestmark = pytest.mark.reference


def real(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"REAL DATA NOT FOUND ({name}): nothing was tested on real spectra; set SPECNET_REFERENCE_DATA")
    return path


# The floors are far below what a full training reaches, and far above chance (0.10 and 0.17) and what is left when
# axis, labels or preprocessing are mixed up.
@pytest.mark.parametrize(
    ("name", "imported", "trained", "n_test", "split_by", "floor"),
    [
        ("bacteria10-raman.npz", ["--quantity", "raman_shift"], [], 200, "spectrum", 0.5),
        ("plastics-ftir.npz", ["--quantity", "wavenumber"], ["--fold", "1"], 216, "sample_id", 0.75),
    ],
)
def test_import_train_calibrate_evaluate_export_predict(
    name, imported, trained, n_test, split_by, floor, tmp_path
) -> None:
    data, run, bundle = tmp_path / "data.h5", tmp_path / "run", tmp_path / "model.specnet"
    call("import", real(name), data, *imported)
    training = call("train", data, "--out", run, "--preset", "nano", "--epochs", "12", *trained, "--json").document
    assert training["split_by"] == split_by
    calibrated = call("calibrate", run, data, "--budget", "0.5", "--json").document
    assert calibrated["chosen"] == "budget"
    report = call("evaluate", run, data, "--json").document
    assert report["n_test"] == n_test
    assert report["operating_point"]["accuracy"] >= floor
    assert report["operating_point"]["mean_macs"] <= 0.55 * report["static_macs"]
    call("export", run, "--out", bundle)
    predicted = call("predict", bundle, data, "--json").document
    assert predicted["n"] > n_test
    assert predicted["accuracy"] >= floor
