"""Losses of published methods: small cases by hand, the identities that must hold, and which gradients they stop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from specnet.errors import ConfigurationError
from specnet.nn import ExitOutputs, SpecNet, create_model
from specnet.training import LOSSES, RECIPES, TrainConfig
from specnet.training.checking import check_recipe
from specnet.training.compatibility import AGREEMENT_LOSSES, LABEL_LOSSES, check_losses
from specnet.training.losses import Context

pytestmark = pytest.mark.usefixtures("one_thread")
METHOD_LOSSES = (*(name for name in LABEL_LOSSES if name != "cross_entropy"), "synergy")


@pytest.fixture(scope="module")
def network() -> SpecNet:
    return create_model("nano", n_points=64, n_classes=3)


def exits(n_exits: int = 3, batch: int = 5, seed: int = 0) -> list[Tensor]:
    """Random logits of exit 0 and of the network's exits."""
    generator = torch.Generator().manual_seed(seed)
    return [(2.0 * torch.randn(batch, 3, generator=generator)).requires_grad_() for _ in range(n_exits + 1)]


LABELS = torch.tensor([0, 1, 2, 1, 0])


def value(name: str, logits: Sequence[Tensor], network: SpecNet, progress: float = 0.5, **changes: float) -> Tensor:
    context = Context(network, TrainConfig(**changes), progress)  # type: ignore[arg-type]
    return LOSSES[name](ExitOutputs(list(logits), [], []), LABELS[: len(logits[0])], context)


def gradients(total: Tensor, logits: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(total, list(logits), allow_unused=True)
    return [
        torch.zeros_like(one) if gradient is None else gradient for one, gradient in zip(logits, found, strict=True)
    ]


def cross_entropies(logits: Sequence[Tensor]) -> list[Tensor]:
    return [functional.cross_entropy(one, LABELS) for one in logits]


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", METHOD_LOSSES)
def test_exit_0_is_fitted_apart(name: str, network: SpecNet) -> None:
    logits = exits()
    first, *others = gradients(value(name, logits, network), logits)
    assert not first.any()
    assert all(gradient.isfinite().all() and gradient.any() for gradient in others)


@pytest.mark.parametrize("name", METHOD_LOSSES)
def test_a_phase_of_the_last_exit_has_that_exits_term_only(name: str, network: SpecNet) -> None:
    logits = exits()
    context = Context(network, TrainConfig(), 0.5, last_exit_only=True)
    total = LOSSES[name](ExitOutputs(logits, [], []), LABELS, context)
    *shallow, deepest = gradients(total, logits) if total.requires_grad else [torch.zeros(1)] * 4
    assert not any(gradient.any() for gradient in shallow)
    if name == "synergy":  # nobody to learn from
        assert float(total.detach()) == 0.0
    else:
        own = gradients(cross_entropies(logits)[-1], logits)[-1]
        torch.testing.assert_close(deepest, own)


@pytest.mark.parametrize("name", METHOD_LOSSES)
def test_they_are_means_over_the_batch(name: str, network: SpecNet) -> None:
    logits = exits()
    twice = [torch.cat([one, one]) for one in logits]
    context = Context(network, TrainConfig(), 0.5)
    doubled = LOSSES[name](ExitOutputs(twice, [], []), torch.cat([LABELS, LABELS]), context)
    torch.testing.assert_close(doubled, value(name, logits, network))


@pytest.mark.parametrize("name", METHOD_LOSSES)
def test_logits_beyond_all_measure_give_numbers(name: str, network: SpecNet) -> None:
    logits = [(1e4 * one.detach()).requires_grad_() for one in exits()]
    total = value(name, logits, network)
    assert torch.isfinite(total)
    assert all(gradient.isfinite().all() for gradient in gradients(total, logits))


# ------------------------------------------------------------------ BoostNet


def test_boosted_exits_by_hand(network: SpecNet) -> None:
    # two classes are told apart by the difference d of their logits, the third is far away
    logits = [torch.tensor([[0.0, d, -1e4]], requires_grad=True) for d in (9.0, 1.0, -2.0, 3.0)]
    context = Context(network, TrainConfig(ensemble_weight=0.5), 0.0)
    total = LOSSES["boosted"](ExitOutputs(logits, [], []), torch.tensor([1]), context)
    sums = (1.0, -2.0 + 0.5 * 1.0, 3.0 + 0.5 * -1.5)
    assert float(total.detach()) == pytest.approx(sum(math.log1p(math.exp(-d)) for d in sums), abs=1e-5)


def test_a_boosted_exit_is_not_moved_by_those_behind_it(network: SpecNet) -> None:
    logits = exits()
    _, first, *_ = gradients(value("boosted", logits, network), logits)
    torch.testing.assert_close(first, gradients(cross_entropies(logits)[1], logits)[1])
    # with gradients through the sum, as in joint training of the ensemble, it would be
    leaking = functional.cross_entropy(logits[2] + 0.5 * logits[1], LABELS) + cross_entropies(logits)[1]
    assert not torch.allclose(gradients(leaking, logits)[1], first)


def test_boosting_with_weight_0_is_joint_training(network: SpecNet) -> None:
    logits = exits()
    total = value("boosted", logits, network, ensemble_weight=0.0)
    torch.testing.assert_close(total, value("cross_entropy", logits, network))


# ------------------------------------------------------------------ SDN


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_the_ramp_of_shallow_deep_networks(network: SpecNet, progress: float) -> None:
    logits = exits()
    _, one, two, three = cross_entropies(logits)
    weights = [0.01 + progress * (k / 3 - 0.01) for k in (1, 2)]
    expected = three + weights[0] * one + weights[1] * two
    torch.testing.assert_close(value("ramped_cross_entropy", logits, network, progress), expected)


# ------------------------------------------------------------------ DNCC


def test_negative_correlation_of_1_is_the_likelihood_of_the_ensemble(network: SpecNet) -> None:
    logits = exits()
    total = value("negative_correlation", logits, network, correlation=1.0)
    mean = torch.stack([functional.softmax(one, dim=1) for one in logits[1:]]).mean(dim=0)
    torch.testing.assert_close(total / 3, functional.nll_loss(mean.log(), LABELS))


def test_its_gradient_is_that_of_the_ensemble(network: SpecNet) -> None:
    logits = exits()
    found = gradients(value("negative_correlation", logits, network, correlation=1.0), logits)
    mean = torch.stack([functional.softmax(one, dim=1) for one in logits[1:]]).mean(dim=0)
    torch.testing.assert_close(found, gradients(3 * functional.nll_loss(mean.log(), LABELS), logits))


def test_negative_correlation_of_0_is_joint_training(network: SpecNet) -> None:
    logits = exits()
    total = value("negative_correlation", logits, network, correlation=0.0)
    torch.testing.assert_close(total, value("cross_entropy", logits, network))


def test_members_that_differ_are_rewarded(network: SpecNet) -> None:
    def gain(logits: Sequence[Tensor]) -> float:
        return float(
            (value("negative_correlation", logits, network) - value("cross_entropy", logits, network)).detach()
        )

    assert gain([torch.zeros(5, 3)] * 4) == pytest.approx(0.0, abs=1e-6)
    assert gain(exits()) < -0.1


# ------------------------------------------------------------------ DKS


def test_synergy_is_the_divergence_of_every_pair(network: SpecNet) -> None:
    logits = exits()
    p = [functional.softmax(one, dim=1) for one in logits[1:]]
    pairs = [(p[n] * (p[n] / p[m]).log()).sum(dim=1).mean() for m in range(3) for n in range(3) if m != n]
    torch.testing.assert_close(value("synergy", logits, network), sum(pairs, start=torch.zeros(())) / 2)


def test_teachers_do_not_learn_from_being_asked(network: SpecNet) -> None:
    logits = exits()
    found = gradients(value("synergy", logits, network), logits)[1]
    # only the terms in which exit 1 learns: the gradient of KL(q || softmax(z)) is softmax(z) - q
    p = [functional.softmax(one.detach(), dim=1) for one in logits]
    torch.testing.assert_close(found, ((p[1] - p[2]) + (p[1] - p[3])) / 2 / len(LABELS))


def test_exits_that_agree_have_nothing_to_learn_from_each_other(network: SpecNet) -> None:
    assert float(value("synergy", [torch.ones(5, 3)] * 4, network)) == pytest.approx(0.0, abs=1e-6)


# ------------------------------------------------------------------ CGT


def test_the_soft_gate_by_hand(network: SpecNet) -> None:
    logits = exits()
    right = [functional.softmax(one, dim=1)[range(5), LABELS].detach() for one in logits[1:]]
    single = [functional.cross_entropy(one, LABELS, reduction="none") for one in logits[1:]]
    weights = [torch.ones(5), 1 - right[0], (1 - right[0]) * (1 - right[1])]
    expected = sum((w * ce).sum() / w.sum() for w, ce in zip(weights, single, strict=True))
    total = value("confidence_gated", logits, network)
    torch.testing.assert_close(total, expected)
    # the weights are numbers, not something to make small
    torch.testing.assert_close(gradients(total, logits)[1], gradients(single[0].mean(), logits)[1])


def test_the_hard_gate_passes_what_is_wrong_or_unsure(network: SpecNet) -> None:
    sure_and_right, sure_and_wrong, unsure = [9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.5, 0.0, 0.0]
    first = torch.tensor([sure_and_right, sure_and_wrong, unsure])
    later = torch.tensor([[0.0, 0.0, 5.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]], requires_grad=True)
    context = Context(network, TrainConfig(), 1.0)
    outputs = ExitOutputs([first, first, later], [], [])
    total = LOSSES["confidence_gated_hard"](outputs, torch.tensor([0, 0, 0]), context)
    moved = gradients(total, [later])[0].abs().sum(dim=1)
    assert moved[0] < 1e-2 * moved[1:].min()


@pytest.mark.parametrize(("progress", "emphasis"), [(0.0, (1.0, 0.55, 0.1)), (1.0, (0.2, 0.6, 1.0))])
def test_the_emphasis_moves_to_the_deep_exits(network: SpecNet, progress: float, emphasis: tuple[float, ...]) -> None:
    logits = [0.01 * one.detach() for one in exits()]  # nobody is sure, so all spectra are everybody's
    single = cross_entropies(logits)[1:]
    expected = sum(weight * one for weight, one in zip(emphasis, single, strict=True))
    torch.testing.assert_close(value("confidence_gated_hard", logits, network, progress), expected)


# ------------------------------------------------------------------ L2W-DEN


def test_weights_are_those_that_were_learned(network: SpecNet) -> None:
    logits = exits()
    torch.testing.assert_close(value("learned_weights", logits, network), value("cross_entropy", logits, network))
    weights = torch.rand(5, 3)
    seen: list[Tensor] = []

    def weigh(losses: Tensor) -> Tensor:
        seen.append(losses)
        return weights

    context = Context(network, TrainConfig(), 0.5, weigh=weigh)
    total = LOSSES["learned_weights"](ExitOutputs(logits, [], []), LABELS, context)
    single = torch.stack([functional.cross_entropy(one, LABELS, reduction="none") for one in logits[1:]], dim=1)
    torch.testing.assert_close(total, (weights * single).mean(dim=0).sum())
    torch.testing.assert_close(seen[0], single.detach())


# ------------------------------------------------------------------ QuickNets


def test_a_stage_learns_from_what_those_before_it_have_not_answered(network: SpecNet) -> None:
    first = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.5, 0.0, 0.0]], requires_grad=True)
    second, third = (torch.zeros(3, 3, requires_grad=True) for _ in range(2))
    context = Context(network, TrainConfig(), 0.5, stage=2)
    total = LOSSES["cascade"](ExitOutputs([first, first, second, third], [], []), torch.tensor([0, 0, 0]), context)
    # the first spectrum was answered, rightly and surely; the second wrongly, the third without being sure
    assert float(total.detach()) == pytest.approx(math.log(3))
    of_first, moved, later = gradients(total, [first, second, third])
    assert not of_first.any()
    assert not later.any()
    assert moved.abs().sum(dim=1).tolist() == pytest.approx([0.0, 2 / 3, 2 / 3])


def test_a_batch_that_is_answered_altogether_teaches_nothing(network: SpecNet) -> None:
    sure, later = torch.tensor([[9.0, 0.0, 0.0]]), torch.zeros(1, 3, requires_grad=True)
    context = Context(network, TrainConfig(), 0.5, stage=2)
    total = LOSSES["cascade"](ExitOutputs([sure, sure, later], [], []), torch.tensor([0]), context)
    assert float(total.detach()) == 0.0
    assert not gradients(total, [later])[0].any()


# ------------------------------------------------------------------ what goes together


@pytest.mark.parametrize("name", RECIPES)
def test_the_losses_of_every_method_go_together(name: str) -> None:
    config = RECIPES[name].config(TrainConfig())
    check_recipe(config, n_points=200, n_classes=3)
    assert len([loss for loss in config.losses if loss in LABEL_LOSSES]) == 1


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        (("cross_entropy", "boosted"), "losses cross_entropy, boosted do not go together"),
        (("confidence_gated", "ramped_cross_entropy"), "expected one of them"),
        (("negative_correlation", "self_distillation"), "does not go with self_distillation: it pushes exits apart"),
        (("negative_correlation", "synergy"), "does not go with synergy"),
        (("boosted", "self_distillation"), "mean nothing alone"),
        (("cross_entropy", "cross_entropy"), "a loss is named twice: cross_entropy, cross_entropy"),
    ],
)
def test_what_works_against_each_other_is_refused(losses: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        check_losses(TrainConfig(losses=losses))


@pytest.mark.parametrize(
    ("name", "text"), [("boosted", "both reuse what earlier exits said"), ("learned_weights", "as they are")]
)
def test_what_stands_on_its_own_is_not_added_to_exit_0(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        check_losses(TrainConfig(losses=(name,), additive=True))


def test_the_names_are_those_of_losses() -> None:
    assert set(LABEL_LOSSES) | set(AGREEMENT_LOSSES) <= set(LOSSES)


def test_weights_out_of_range() -> None:
    for name in ("ensemble_weight", "correlation"):
        with pytest.raises(ConfigurationError, match=f"{name} is 1.5, expected from 0 to 1"):
            TrainConfig(**{name: 1.5})  # type: ignore[arg-type]
