"""Torch and ONNX Runtime say the same at every exit, whatever the positions do; and export fails loudly."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from support_networks import halting, random_model, random_spectra, vary_depths
from torch import Tensor, nn

from specnet.errors import ModelError
from specnet.export import MASK, SKIP, Segment, UnitForm, export_segments, fastest_forms
from specnet.export.relays import emit_relay
from specnet.nn import (
    ADAPTIVITIES,
    BLOCKS,
    HEADS,
    PRESETS,
    RELAYS,
    STAGES,
    NetworkConfig,
    SpecNet,
    Stage,
    create_model,
)
from specnet.nn.blocks import Block
from specnet.nn.config import NO_RELAY
from specnet.nn.halting import NONE, Halting
from specnet.nn.heads import ExitHead
from specnet.nn.relays import Cascade

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCE = 1e-4


def _session(segment: Segment) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(segment.data, options, providers=["CPUExecutionProvider"])


def _compare(network: SpecNet, spectra: Tensor) -> list[np.ndarray]:
    """Compare all exits, features and depths in both forms of halted positions; returns torch's depths."""
    for form in (SKIP, MASK):
        depths = _compare_form(network, spectra, form)
    return depths


def _compare_form(network: SpecNet, spectra: Tensor, form: UnitForm) -> list[np.ndarray]:
    with torch.no_grad():
        outputs = network(spectra)
    features = spectra.transpose(1, 2)
    scale = max(1.0, max(float(logits.abs().max()) for logits in outputs.logits))
    for index, segment in enumerate(export_segments(network, [form] * network.config.n_stages)):
        session = _session(segment)
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(None, {"features": features.numpy()}), strict=True))
        expected, following, depth = network.run_segment(index, features)
        np.testing.assert_allclose(found["logits"], outputs.logits[index].numpy(), atol=TOLERANCE * scale)
        np.testing.assert_allclose(found["logits"], expected.numpy(), atol=TOLERANCE * scale)
        assert ("next" in found) == (following is not None) == (segment.info.feature_shape is not None)
        assert ("depth" in found) == (index > 0 and network.config.adaptive)
        if "depth" in found:
            assert depth is not None
            assert found["depth"].dtype == np.uint8
            np.testing.assert_array_equal(found["depth"], depth.numpy())
        if following is not None:
            np.testing.assert_allclose(found["next"], following.numpy(), atol=TOLERANCE * scale)
            assert found["next"].shape[1:] == segment.info.feature_shape
            features = following.contiguous()
    return [depth.numpy() for depth in outputs.depths]


@pytest.mark.parametrize("length", [128, 333, 1000])
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_exit_agrees(name: str, adaptive: bool, length: int) -> None:
    network = random_model(name, length, adaptive=adaptive, seed=1)
    if adaptive:
        vary_depths(network)
    depths = _compare(network, random_spectra(3, length))
    for depth, units in zip(depths, network.config.units, strict=True):
        assert (len(np.unique(depth)) > 1) if adaptive else (depth == units).all()


@pytest.mark.parametrize("batch", [1, 2, 17])
@pytest.mark.parametrize("offset", [-1e6, 0.0, 1e6], ids=["no position active", "some", "all"])
def test_no_some_and_all_positions_active(offset: float, batch: int) -> None:
    network = random_model("tiny", 201)
    network = halting(network, (offset,) * 4) if offset else vary_depths(network)
    depths = _compare(network, random_spectra(batch, 201))
    for depth, units in zip(depths, network.config.units, strict=True):
        if offset < 0:
            assert not depth.any()
        elif offset > 0:
            assert (depth == units).all()
    if offset == 0:
        assert len(np.unique(np.concatenate([depth.ravel() for depth in depths]))) > 2


def test_spectra_of_one_batch_do_not_touch_each_other() -> None:
    network = vary_depths(random_model("tiny", 201))
    spectra = random_spectra(5, 201).transpose(1, 2).numpy()
    session = _session(export_segments(network)[1])
    together = session.run(None, {"features": spectra})
    for row in range(5):
        for one, many in zip(session.run(None, {"features": spectra[row : row + 1]}), together, strict=True):
            np.testing.assert_allclose(one[0], many[row], atol=1e-5)


def test_masked_positions_are_counted_as_computed() -> None:
    network = vary_depths(random_model("tiny", 201))
    config = network.config
    skipped, masked = (export_segments(network, [form] * config.n_stages)[1:] for form in (SKIP, MASK))
    for one, other, unit, positions in zip(skipped, masked, network.unit_macs(), config.positions, strict=True):
        assert one.info.unit_macs == unit > other.info.unit_macs == 0
        assert other.info.fixed_macs == one.info.fixed_macs + unit * one.info.units * positions
        everywhere = np.full((1, positions), one.info.units)
        assert one.info.executed_macs(everywhere, 1) == other.info.executed_macs(0 * everywhere, 1)


def test_spectra_that_halt_as_a_whole_are_skipped_in_any_case() -> None:
    network = vary_depths(random_model("nano", 117, adaptivity="sample"))
    skipped, masked = (export_segments(network, [form] * network.config.n_stages) for form in (SKIP, MASK))
    assert [one.data for one in skipped] == [other.data for other in masked]


def test_a_form_is_chosen_for_every_stage_and_only_where_there_is_a_choice() -> None:
    spectra = random_spectra(3, 201)[:, 0].numpy()
    forms = fastest_forms(vary_depths(random_model("tiny", 201)), spectra)
    assert len(forms) == 4
    assert set(forms) <= {SKIP, MASK}
    assert set(fastest_forms(random_model("tiny", 201, adaptive=False), spectra)) == {SKIP}
    with pytest.raises(ModelError, match="got no spectra"):
        fastest_forms(random_model("tiny", 201), spectra[:0])


def test_forms_are_one_for_each_stage() -> None:
    with pytest.raises(ModelError, match="got 1 forms, expected one for each of 4 stages"):
        export_segments(random_model("tiny", 201), [MASK])


@pytest.mark.parametrize("units", [(0, 1), (3, 0)])
def test_stages_without_units_agree(units: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = create_model("nano", n_points=100, n_classes=3, widths=(6, 8), units=units).eval()
    segments = export_segments(network)
    features = random_spectra(2, 100).transpose(1, 2)
    for index, segment in enumerate(segments):
        logits, following, _ = network.run_segment(index, features)
        found = _session(segment).run(["logits"], {"features": features.numpy()})[0]
        np.testing.assert_allclose(found, logits.numpy(), atol=TOLERANCE)
        features = features if following is None else following.contiguous()
    assert [segment.info.units for segment in segments[1:]] == list(units)


@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("block", sorted(BLOCKS))
@pytest.mark.parametrize("adaptivity", sorted([NONE, *ADAPTIVITIES]))
def test_every_adaptivity_block_and_head_agree_together(adaptivity: str, block: str, head: str) -> None:
    network = random_model("nano", 117, adaptivity=adaptivity, block=block, head=head)
    if adaptivity != NONE:
        vary_depths(network)
    for batch in (1, 5):
        depths = _compare(network, random_spectra(batch, 117))
    found = np.unique(np.concatenate([depth.ravel() for depth in depths]))
    assert len(found) > 1


@pytest.mark.parametrize("relay", sorted([NO_RELAY, *RELAYS]))
@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_stage_head_and_relay_agree_together(stage: str, head: str, relay: str) -> None:
    for preset, n_classes in (("nano", 5), ("small", 200)):  # more and fewer classes than a stage has channels
        network = random_model(preset, 133, n_classes=n_classes, adaptivity=NONE, stage=stage, head=head, relay=relay)
        for batch in (1, 5):
            _compare(network, random_spectra(batch, 133))


@pytest.mark.parametrize("relay", sorted(RELAYS))
def test_the_last_segment_computes_nothing_for_a_next_one(relay: str) -> None:
    network = random_model("nano", 133, adaptivity=NONE, relay=relay)
    graph = onnx.load_model_from_string(export_segments(network)[-1].data).graph
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    assert all(used.intersection(node.output) for node in graph.node)
    assert all(constant.name in used for constant in graph.initializer)
    assert not [node for node in graph.node if node.op_type in ("LayerNormalization", "Softplus")]


class _UnknownRelay(Cascade):
    pass


class _UnknownStage(Stage):
    def __init__(self, in_channels: int, channels: int, units: int, **options: object) -> None:
        super().__init__(in_channels, channels)
        self.halting, self.unit_macs = None, 0

    def fixed_macs(self, positions: int) -> int:
        return 0


def test_relays_and_stages_without_an_onnx_form_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "unknown", _UnknownStage)
    with pytest.raises(ModelError, match="stage _UnknownStage has no ONNX form"):
        export_segments(create_model("nano", n_points=128, n_classes=3, adaptivity=NONE, stage="unknown"))
    emit_relay.register(_UnknownRelay, emit_relay.dispatch(object))
    monkeypatch.setitem(RELAYS, "unknown", _UnknownRelay)
    with pytest.raises(ModelError, match="relay _UnknownRelay has no ONNX form"):
        export_segments(create_model("nano", n_points=128, n_classes=3, adaptivity=NONE, relay="unknown"))


@pytest.mark.parametrize("adaptivity", sorted(ADAPTIVITIES))
def test_spectra_that_halt_everywhere_and_nowhere_agree_with_every_adaptivity(adaptivity: str) -> None:
    for offset in (-1e6, 1e6):
        network = halting(random_model("tiny", 117, adaptivity=adaptivity), (offset,) * 4)
        depths = _compare(network, random_spectra(3, 117))
        runs = (offset < 0) if adaptivity == "ponder" else (offset > 0)
        for depth, units in zip(depths, network.config.units, strict=True):
            assert (depth == (units if runs else 0)).all()


class _UnknownBlock(Block):
    def __init__(self, channels: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    @property
    def macs(self) -> int:
        return 0


class _UnknownHead(ExitHead):
    def __init__(self, config: NetworkConfig, channels: int, positions: int) -> None:
        super().__init__()
        self.classes = config.n_classes

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), self.classes)

    @property
    def macs(self) -> int:
        return 0


class _UnknownHalting(Halting):
    def forward(self, x: Tensor, noise: float) -> Tensor:
        return x.new_ones(len(x), self.score.out_channels, x.shape[-1])


def test_parts_without_an_onnx_form_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTIVITIES, "unknown", _UnknownHalting)
    with pytest.raises(ModelError, match="adaptivity _UnknownHalting has no ONNX form"):
        export_segments(create_model("nano", n_points=128, n_classes=3, adaptivity="unknown"))
    monkeypatch.setitem(BLOCKS, "unknown", _UnknownBlock)
    monkeypatch.setitem(HEADS, "unknown", _UnknownHead)
    for adaptive in (True, False):
        network = create_model("nano", n_points=128, n_classes=3, block="unknown", adaptive=adaptive)
        with pytest.raises(ModelError, match=r"block _UnknownBlock has no ONNX form; known: \['Depthwise', "):
            export_segments(network)
    with pytest.raises(ModelError, match="exit head _UnknownHead has no ONNX form"):
        export_segments(create_model("nano", n_points=128, n_classes=3, head="unknown"))


def test_the_same_network_gives_the_same_bytes() -> None:
    one, two = (export_segments(random_model("tiny", 150, seed=4)) for _ in range(2))
    assert one == two
    assert [segment.data for segment in one] != [s.data for s in export_segments(random_model("tiny", 150, seed=5))]


def test_export_leaves_the_network_as_it_was_but_in_evaluation_mode() -> None:
    network = random_model("nano", 128).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_segments(network)
    assert not network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
