"""A bundle of a real network with random weights, exported by `specnet.export`: torch and ONNX can be compared."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import torch
from support_bundle import make_bundle

from specnet.bundle import read_bundle, write_bundle
from specnet.exits import NEVER, ExitPolicy, route
from specnet.export import export_segments
from specnet.manifest import SELFTEST, WEIGHTS, Manifest
from specnet.nn import SpecNet, create_model, save_weights
from specnet.spectra import SpectralAxis

N_POINTS = 200


def random_network(seed: int = 10) -> SpecNet:
    """A nano network in evaluation mode whose positions halt at different depths."""
    generator = torch.Generator().manual_seed(seed)
    network = create_model("nano", n_points=N_POINTS, n_classes=3).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and "running_var" not in name:
                scale = 1.0 if tensor.ndim < 2 else (2.0 / tensor[0].numel()) ** 0.5
                offset = 1.0 if name.endswith("norm.weight") else 0.0
                tensor.copy_(offset + 0.5 * scale * torch.randn(tensor.shape, generator=generator))
    return network


def network_spectra(n: int, seed: int = 0) -> np.ndarray:
    """Standard normal spectra ``(n, 200)``."""
    return np.random.default_rng(seed).standard_normal((n, N_POINTS)).astype(np.float32)


def make_network_bundle(path: Path, **changes: object) -> Manifest:
    """Write a bundle of `random_network`, with torch's logits as self-test vectors.

    Its policy lets about half of the spectra leave at exit 2 and the others at exit 3. `changes` are fields of the
    manifest.
    """
    network = random_network()
    segments = export_segments(network)
    intensity = network_spectra(40, seed=99)
    with torch.no_grad():
        logits = torch.stack(network(torch.from_numpy(intensity)[:, None]).logits).numpy()
    vectors = io.BytesIO()
    np.savez(vectors, intensity=intensity[:4], logits=logits[:, :4])
    closed = ExitPolicy(temperatures=(1.0,) * 4, thresholds=(NEVER,) * 4)
    middle = float(np.median(route(closed, logits).all_scores[2]))
    files = {segment.info.file: segment.data for segment in segments}
    files |= {WEIGHTS: save_weights(network), SELFTEST: vectors.getvalue()}
    axis = SpectralAxis.channels(N_POINTS).to_dict()
    template = read_bundle_manifest(path.parent)
    manifest = msgspec.structs.replace(
        template,
        name="nano",
        axis=axis,
        source_axis=axis,
        segments=tuple(segment.info for segment in segments),
        policy=msgspec.structs.replace(closed, thresholds=(NEVER, NEVER, middle, 0.0)),
        architecture=network.config.to_dict(),
        **changes,
    )
    return write_bundle(path, manifest, files)


def read_bundle_manifest(folder: Path) -> Manifest:
    """Manifest of a hand-made bundle, as a template."""
    path = folder / "template"
    make_bundle(path)
    manifest = read_bundle(path).manifest
    path.unlink()
    return manifest
