"""Makes ``tests/device/fixtures``: a small trained bundle and spectra, for tests where torch is not installed.

Run it again after a change of the bundle's format: ``python tests/support/make_device_fixture.py``.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from specnet.calibration import calibrate
from specnet.datasets import Holdout, write_spectra
from specnet.datasets.simulation import PRESETS, simulate
from specnet.packing import pack
from specnet.training import TrainConfig, train

FOLDER = Path(__file__).parent.parent / "device" / "fixtures"
N_SPECTRA = 60


def main() -> None:
    """Simulate, train, pack; thresholds are set so that about half of the spectra are uncertain at exit 1."""
    FOLDER.mkdir(exist_ok=True)
    table = simulate(replace(PRESETS["demo"], n_classes=12, n_points=400, spectra_per_class=80, seed=7))
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "minerals.h5"), Path(folder, "tiny")
        write_spectra(data, table)
        run = train(data, out, TrainConfig(preset="nano", epochs=20, seed=7))
        calibration = calibrate(run.cache(data, Holdout.CALIBRATION).logits)
        thresholds = (0.997, 0.995, 0.9, -1.0)
        points = calibration.operating_points | {
            "default": msgspec.structs.replace(calibration.policy, thresholds=thresholds)
        }
        calibration = msgspec.structs.replace(calibration, operating_points=points, chosen="default")
        calibration.write(run.calibration_path)
        pack(run, data, FOLDER / "tiny.specnet", name="tiny")
    rows = table.rows(Holdout.TEST)[:: max(1, len(table.rows(Holdout.TEST)) // N_SPECTRA)][:N_SPECTRA]
    np.savez_compressed(FOLDER / "tiny.npz", intensity=table.intensity[rows], labels=table.labels[rows])


if __name__ == "__main__":
    main()
