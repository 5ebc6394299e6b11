"""Ready-made configurations of the simulator."""

from __future__ import annotations

from specnet.datasets.simulation.configuration import SimulationConfig
from specnet.datasets.simulation.procedural import ProceduralConfig

PRESETS: dict[str, SimulationConfig] = {
    "easy": SimulationConfig(
        offset_cm=1.0,
        stretch_cm=0.5,
        drift_cm=0.1,
        resolution_cm=(4.0, 6.0),
        signal_electrons=(2_000.0, 20_000.0),
        fluorescence_ratio=(0.05, 0.5),
        mixture_share=0.0,
        shift_cm=0.5,
        orientation=0.3,
        cosmic_rays=0.05,
    ),
    "demo": SimulationConfig(),
    "hard": SimulationConfig(
        substances=ProceduralConfig(width_cm=(5.0, 12.0), moved_groups=(2, 4), moved_cm=(4.0, 6.0), moved_bands=(1, 2)),
        n_classes=216,
        spectra_per_class=70,
        n_instruments=5,
        test_instruments=2,
        offset_cm=6.0,
        stretch_cm=4.0,
        bend_cm=3.0,
        drift_cm=11.0,
        resolution_cm=(4.0, 7.0),
        signal_electrons=(300.0, 6_000.0),
        fluorescence_ratio=(0.1, 2.0),
        mixture_share=0.6,
        mixture_range=(0.1, 0.4),
        family_share=0.05,
        shift_cm=0.3,
        width_spread=0.08,
        disorder_cm=1.0,
        orientation=0.1,
        cosmic_rays=0.3,
    ),
    "random": SimulationConfig(
        substances=ProceduralConfig(
            siblings=3,
            groups=(2, 10),
            group_bands=(1, 5),
            group_cm=(10.0, 150.0),
            width_cm=(4.0, 40.0),
            moved_groups=(1, 2),
            moved_cm=(1.0, 12.0),
            scaled_bands=(0, 2),
            scaled_by=(1.1, 2.0),
            extra_share=0.3,
            broad_share=0.3,
        ),
        n_classes=1000,
        spectra_per_class=20,
        n_instruments=None,
        offset_cm=10.0,
        stretch_cm=8.0,
        bend_cm=4.0,
        drift_cm=0.0,
        resolution_cm=(2.0, 20.0),
        signal_electrons=(100.0, 20_000.0),
        fluorescence_ratio=(0.02, 6.0),
        dispersive_share=0.2,
        mixture_share=0.3,
        family_share=0.1,
        cosmic_rays=0.2,
    ),
}
"""``easy``: clean spectra of single minerals. ``demo``: mostly easy with a share that is not (mixtures, weak signal,
strong fluorescence, instruments off by several 1/cm). ``hard``: 216 random substances with near-identical siblings and
many overlapping bands, most spectra mixed and weak, tested on two spectrometers that took no training spectrum; a
linear classifier and a shallow network are far behind a deep one (seed 0, test part: best of 28 linear models 58.8 %;
exits 1 to 4 of a static ``tiny`` network after 11 epochs 63.3, 66.8, 69.0 and 70.4 %). ``random``: a thousand random
substances, each spectrum with a spectrometer of its own, to pretrain on."""
