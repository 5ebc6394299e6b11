"""What an engine is.

Legend: n spectra, P positions, C channels.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from specnet.bundle import Bundle
from specnet.runtime import SegmentOutput

Float32 = NDArray[np.float32]


class Engine(Protocol):
    """Runs segments of the bundles that it has loaded. One thread serves; another one may load and try meanwhile."""

    name: str

    def load(self, bundle: Bundle) -> None:
        """Make the segments of a bundle ready to run."""

    def unload(self, bundle_id: str) -> None:
        """Forget a bundle; nothing happens when it is not loaded."""

    def run(self, bundle_id: str, segment_index: int, features: Float32) -> SegmentOutput:
        """Run one segment on features ``(n, P, C)``.

        Raises
        ------
        ModelError
            When the bundle is not loaded.
        EngineMemoryError
            When there is not enough memory for so many spectra; fewer may do.
        """

    def precision(self, bundle_id: str) -> str:
        """Numbers in which a loaded bundle is computed: ``float32``, ``float16`` or ``bfloat16``."""

    def tolerance(self, bundle: Bundle) -> float:
        """Largest deviation of a logit that the self-test of a loaded bundle may find."""
