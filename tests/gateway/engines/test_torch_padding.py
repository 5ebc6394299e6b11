"""Padded batches in fixed memory: the same answers at every size; and what happens when a segment cannot be captured.

Everything but the GPU itself is tested on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support_network_bundle import make_network_bundle, network_spectra
from torch import Tensor

from gateway.engines.graphs import GraphCapture
from gateway.engines.lanes import Compute, LaneKey, Lanes, Replay
from gateway.engines.torch_engine import TorchEngine
from gateway.engines.trial import check_bundle, warm_up
from specnet.bundle import Bundle, read_bundle
from specnet.errors import EngineMemoryError
from specnet.runtime import SegmentOutput

CPU = torch.device("cpu")
NEEDS_GPU = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO GPU HERE: CUDA graphs and pinned memory were not tested"
)


def padded_engine(bundle: Bundle, max_batch: int = 12, device: str = "cpu") -> TorchEngine:
    engine = TorchEngine(device, max_batch=max_batch, padded=True)
    engine.load(bundle)
    return engine


def compare(found: SegmentOutput, expected: SegmentOutput, rows: slice) -> None:
    np.testing.assert_allclose(found.logits, expected.logits[rows], atol=1e-4)
    for part in ("features", "depth"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype
            assert ours.flags.c_contiguous
            np.testing.assert_allclose(ours, theirs[rows], atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_every_batch_size_gives_the_answers_of_single_requests(network_bundle: Bundle, device: str) -> None:
    engine, alone = padded_engine(network_bundle, device=device), TorchEngine("cpu")
    alone.load(network_bundle)
    features = network_spectra(30)[..., np.newaxis]
    for index in range(4):
        singles = [alone.run(network_bundle.bundle_id, index, features[i : i + 1]) for i in range(30)]
        parts = {
            name: None if getattr(singles[0], name) is None else np.concatenate([getattr(s, name) for s in singles])
            for name in ("logits", "features", "depth")
        }
        expected = SegmentOutput(**parts)
        # 1 to 12 in one batch, more than 12 in several
        for n in range(1, 31):
            rows = slice(30 - n, 30)
            compare(engine.run(network_bundle.bundle_id, index, features[rows]), expected, rows)
        features = features if expected.features is None else expected.features


def test_what_a_batch_gave_is_not_changed_by_the_next_one(network_bundle: Bundle) -> None:
    engine = padded_engine(network_bundle)
    first = engine.run(network_bundle.bundle_id, 1, network_spectra(5)[..., np.newaxis])
    kept = first.logits.copy(), first.features.copy()
    engine.run(network_bundle.bundle_id, 1, 5 + network_spectra(5, seed=1)[..., np.newaxis])
    np.testing.assert_array_equal(first.logits, kept[0])
    np.testing.assert_array_equal(first.features, kept[1])


def test_features_of_a_message_may_be_read_only(network_bundle: Bundle) -> None:
    features = network_spectra(3)[..., np.newaxis]
    features.setflags(write=False)
    assert padded_engine(network_bundle).run(network_bundle.bundle_id, 1, features).logits.shape == (3, 3)


def test_warming_up_makes_a_lane_for_each_size_and_serving_makes_no_more(network_bundle: Bundle) -> None:
    engine = padded_engine(network_bundle)
    assert len(engine.lanes) == 0
    warm_up(engine, network_bundle, 12)
    assert len(engine.lanes) == 3 * len((1, 2, 4, 8, 12))
    for n in range(1, 13):
        engine.run(network_bundle.bundle_id, 1, network_spectra(n)[..., np.newaxis])
    assert len(engine.lanes) == 15
    engine.unload(network_bundle.bundle_id)
    assert len(engine.lanes) == 0


class Captures:
    """Stands in for the recording of CUDA graphs, and counts; fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.hidden = False
        self.calls = 0

    def __call__(self, compute: Compute, tensor: Tensor) -> Replay:
        self.calls += 1
        if self.error is not None:
            if self.hidden:
                # as torch does when a recording is broken off: its end fails too
                try:
                    raise self.error
                finally:
                    raise RuntimeError("operation failed due to a previous error during capture")
            raise self.error
        return lambda: compute(tensor)


def double(tensor: Tensor) -> tuple[Tensor | None, ...]:
    return 2 * tensor, None, None


def run_lane(lanes: Lanes, bundle: str, segment: int, size: int) -> None:
    features = np.full((size, 3, 1), 1.5, dtype=np.float32)
    output = lanes.get(LaneKey(bundle, segment, size), (3, 1), double).run(features, lambda: None)
    np.testing.assert_array_equal(output.logits, 2 * features)


def test_the_lanes_that_are_kept_are_bounded_and_the_least_recently_used_one_goes() -> None:
    captures = Captures()
    lanes = Lanes(CPU, captures, limit=3)
    for size in (1, 2, 4, 1, 8):
        run_lane(lanes, "a", 1, size)
    assert (len(lanes), captures.calls) == (3, 4)
    run_lane(lanes, "a", 1, 1)
    assert captures.calls == 4
    run_lane(lanes, "a", 1, 2)
    assert (len(lanes), captures.calls) == (3, 5)


def test_a_segment_that_cannot_be_captured_is_computed_call_by_call(caplog: pytest.LogCaptureFixture) -> None:
    captures = Captures(RuntimeError("operation not permitted when stream is capturing"))
    lanes = Lanes(CPU, captures)
    for size in (1, 2, 4, 1):
        run_lane(lanes, "a", 1, size)
    run_lane(lanes, "a", 2, 1)
    # once a segment, not once a batch
    assert captures.calls == 2
    assert [record.message for record in caplog.records] == ["a segment is computed without a CUDA graph"] * 2
    lanes.forget("a")
    run_lane(lanes, "a", 1, 1)
    assert captures.calls == 3


@pytest.mark.parametrize("hidden", [False, True])
def test_want_of_memory_while_capturing_is_no_reason_to_give_up_graphs(hidden: bool) -> None:
    captures = Captures(torch.OutOfMemoryError("CUDA out of memory"))
    captures.hidden = hidden
    lanes = Lanes(CPU, captures)
    with pytest.raises(RuntimeError):
        run_lane(lanes, "a", 1, 64)
    captures.error = None
    run_lane(lanes, "a", 1, 64)
    assert captures.calls == 2


def test_want_of_memory_is_an_error_of_its_own_and_all_lanes_are_given_up(
    network_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = padded_engine(network_bundle)
    features = network_spectra(8)[..., np.newaxis]
    engine.run(network_bundle.bundle_id, 1, features[:2])
    captures = Captures(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"))
    monkeypatch.setattr(engine.lanes, "_capture", captures)
    with pytest.raises(EngineMemoryError, match=r"no memory for segment 1 of 8 spectra: CUDA out of memory") as caught:
        engine.run(network_bundle.bundle_id, 1, features)
    # the first error would keep the tensors of its frames in memory
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(engine.lanes) == 0
    captures.error = None
    assert engine.run(network_bundle.bundle_id, 1, features).logits.shape == (8, 3)


@NEEDS_GPU
def test_graphs_give_what_calls_give_and_survive_that_all_others_are_given_up(network_bundle: Bundle) -> None:
    engine = padded_engine(network_bundle, device="cuda")
    assert check_bundle(engine, network_bundle) <= network_bundle.manifest.selftest_tolerance
    for _ in range(3):
        warm_up(engine, network_bundle, 12)
        assert not engine.lanes._not_captured
        engine.lanes.clear()
        torch.cuda.empty_cache()


@NEEDS_GPU
def test_a_batch_too_large_for_a_real_gpu_is_told_as_such() -> None:
    capture = GraphCapture(torch.cuda.Stream())
    free, _ = torch.cuda.mem_get_info()
    with torch.cuda.stream(capture._stream), pytest.raises(torch.OutOfMemoryError):
        capture(lambda tensor: (tensor.new_empty(2 * free), None, None), torch.zeros(1, device="cuda"))


@pytest.mark.parametrize(
    ("tolerance", "expected"), [(1e-6, "float32"), (1e-4, "float32"), (0.05, "float16"), (10.0, "float16")]
)
def test_half_precision_is_chosen_only_where_the_self_test_allows_it(
    tmp_path: Path, tolerance: float, expected: str, make_tolerant: Callable[[Path, float], Bundle]
) -> None:
    bundle = make_tolerant(tmp_path / "model.specnet", tolerance)
    engine = TorchEngine("cpu", precision="auto")
    engine.load(bundle)
    assert engine.precision(bundle.bundle_id) == expected
    plain = TorchEngine("cpu")
    plain.load(bundle)
    assert plain.precision(bundle.bundle_id) == "float32"
    found = engine.run(bundle.bundle_id, 1, network_spectra(4)[..., np.newaxis])
    exact = plain.run(bundle.bundle_id, 1, network_spectra(4)[..., np.newaxis])
    deviation = np.abs(found.logits - exact.logits).max()
    # not rounded on the way to it: the weights are read anew for each attempt
    assert deviation == 0 if expected == "float32" else 0 < deviation < 0.1
    assert found.logits.dtype == np.float32


@pytest.mark.parametrize(("half_tolerance", "expected"), [(1e-6, "float32"), (0.05, "float16")])
def test_a_gateway_may_allow_half_precision_more_than_the_bundle_does(
    tmp_path: Path, half_tolerance: float, expected: str, make_tolerant: Callable[[Path, float], Bundle]
) -> None:
    bundle = make_tolerant(tmp_path / "model.specnet", 1e-4)
    engine = TorchEngine("cpu", precision="auto", half_tolerance=half_tolerance)
    engine.load(bundle)
    assert engine.precision(bundle.bundle_id) == expected
    assert engine.tolerance(bundle) == (1e-4 if expected == "float32" else half_tolerance)
    # what the gateway does with every bundle before it serves it
    assert (check_bundle(engine, bundle) > 1e-4) == (expected == "float16")


@pytest.fixture
def make_tolerant() -> Callable[[Path, float], Bundle]:
    def make(path: Path, tolerance: float) -> Bundle:
        make_network_bundle(path, selftest_tolerance=tolerance)
        return read_bundle(path)

    return make
