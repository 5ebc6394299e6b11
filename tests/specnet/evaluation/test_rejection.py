from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support_cached_logits import make_cached

from specnet.calibration import CachedLogits, calibrate
from specnet.errors import ModelError
from specnet.evaluation import evaluate, evaluate_rejection


def _unknown(n: int) -> CachedLogits:
    """Spectra of a class that the network has never seen: no class has evidence for it."""
    cached = make_cached(seed=9, n=n, evidence=(0.0, 0.0, 0.0, 0.0))
    like_known = make_cached(seed=10, n=n)
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(like_known.logits.shape).cumsum(axis=0).astype(np.float32)
    return CachedLogits(logits, cached.labels, like_known.macs, like_known.static_macs)


def test_unknown_spectra_are_told_from_known_ones() -> None:
    calibration = calibrate(make_cached(seed=0), false_alarm=0.1)
    known, unknown = make_cached(seed=1, n=2000), _unknown(500)
    report = evaluate_rejection(calibration.policy, known, unknown)
    assert (report["n_known"], report["n_unknown"], report["reject"]) == (2000, 500, "improbability")
    assert report["false_alarm"] == pytest.approx(0.1, abs=0.04)
    assert report["detection"] > 2 * report["false_alarm"]
    assert set(report["auroc"]) == {"improbability", "energy"}
    assert min(report["auroc"].values()) > 0.7
    msgspec.json.encode(report)


def test_known_spectra_are_not_told_from_known_ones() -> None:
    policy = calibrate(make_cached(seed=0)).policy
    report = evaluate_rejection(policy, make_cached(seed=1), make_cached(seed=2))
    assert report["auroc"]["improbability"] == pytest.approx(0.5, abs=0.04)
    assert (report["false_alarm"], report["detection"]) == (None, None)


def test_spectra_of_another_network_are_refused() -> None:
    policy = calibrate(make_cached(seed=0, n=100)).policy
    with pytest.raises(ModelError, match="4 exits and 6 classes, unknown ones 4 and 5"):
        evaluate_rejection(policy, make_cached(seed=1, n=10), make_cached(seed=1, n=10, n_classes=5))


def test_the_report_says_what_is_promised_and_what_is_kept() -> None:
    split, test = make_cached(seed=0, n=1500), make_cached(seed=1, n=3000)
    classes = list("abcdef")
    plain = evaluate(test, calibrate(split), split, classes=classes, split_by="")
    assert (plain["risk"], plain["rejection"]) == (None, None)
    calibration = calibrate(split, max_risk=0.1, false_alarm=0.1)
    report = evaluate(test, calibration, split, classes=classes, split_by="")
    assert report["operating_point"]["name"] == "risk"
    assert report["risk"]["max_risk"] == 0.1
    assert report["rejection"]["promised_false_alarm"] == 0.1
    assert report["rejection"]["false_alarm"] == pytest.approx(0.1, abs=0.05)
    assert report["calibration_current"]
    msgspec.json.encode(report)
