"""``specnet-gateway profile``: the real engine, queue and worker, without a broker."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support_bundle import POLICY, make_bundle
from support_gateway import ROOT, run_cli

from gateway.cli import main
from gateway.config import GatewaySettings
from gateway.engine import OnnxEngine
from gateway.load import LoadTest
from gateway.models import ServedModel, prepare
from gateway.profiling import measure_gateway
from gateway.requests import sample_requests
from specnet.bundle import read_bundle
from specnet.errors import ConfigurationError, ModelError
from specnet.profiles import GatewayProfile, read_profile
from specnet.runtime import Segments

REQUESTS = 200
TRAINED = Path(__file__).parents[1] / "device" / "fixtures" / "tiny.specnet"


@pytest.fixture
def trained_store(tmp_path: Path) -> Path:
    path = tmp_path / "trained" / "tiny" / "1" / "model.specnet"
    path.parent.mkdir(parents=True)
    shutil.copyfile(TRAINED, path)
    return tmp_path / "trained"


def test_requests_are_those_that_a_device_would_send(model: ServedModel, engine: OnnxEngine, bundle_path: Path) -> None:
    bundle = read_bundle(bundle_path)
    requests = sample_requests(engine, model, bundle)
    n = len(bundle.selftest()["intensity"])
    assert 0 < len(requests) <= n
    for request in requests:
        assert (request.split, request.bundle) == (1, model.bundle_id)
        assert request.features.shape == model.manifest.split_shape(1)
        assert request.state_array(model.manifest.state_layout).size == model.manifest.policy.state_size(3)


@pytest.mark.parametrize(("threshold", "sent"), [(-1.0, 4), (None, 2), (2.0, 4)])
def test_only_uncertain_spectra_are_sent_unless_none_is(tmp_path: Path, threshold: float | None, sent: int) -> None:
    path = tmp_path / "hand.specnet"
    if threshold is None:
        # between the second and the third score of exit 1
        make_bundle(path)
        threshold = float(np.mean(np.sort(scores_at_exit_1(path))[1:3]))
    make_bundle(path, policy=msgspec.structs.replace(POLICY, thresholds=(threshold, threshold, 2.0, -1.0)))
    bundle, engine = read_bundle(path), OnnxEngine()
    assert len(sample_requests(engine, prepare(engine, bundle, path), bundle)) == sent


def scores_at_exit_1(path: Path) -> list[float]:
    bundle = read_bundle(path)
    policy, segments, scores = bundle.manifest.policy, Segments(bundle), []
    for spectrum in bundle.selftest()["intensity"]:
        state = policy.initial_state(1, 3)
        for index in range(2):
            decision = policy.decide(index, segments.run(index, spectrum[None, :, None]).logits, state)
            state = decision.state
        scores.append(float(decision.score[0]))
    return scores


def test_the_profile_is_written_and_shown(
    trained_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "gateway.json"
    words = ["profile", "--store", str(trained_store), "--bundle", "tiny", "--loads", "0.5,0.25", "--rest-ms", "0"]
    assert main([*words, "--requests", str(REQUESTS), "--max-batch", "8", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    profile = read_profile(out)
    assert isinstance(profile, GatewayProfile)
    assert (profile.bundle, profile.engine) == (read_bundle(TRAINED).bundle_id, "onnxruntime")
    assert list(profile.segments_us) == ["1", "2", "3"]
    assert {size: list(times) for size, times in profile.batch_us.items()} == {"8": ["1", "2", "3"]}
    assert profile.handling_us is not None
    # decoding, another thread, decisions and encoding take something, and much less than a thousandfold segment
    assert 20 < profile.handling_us.p50 < 1e3 * profile.segments_us["3"].p95
    assert len(profile.loads) == 2
    for load in profile.loads:
        assert 1 <= load.mean_batch <= 8
        # the rate that came out of the random moments is near the one that was asked for
        assert load.utilisation == pytest.approx(round(4 * load.utilisation) / 4, rel=0.35)
    rates = {load.requests_s / load.utilisation for load in profile.loads}
    assert max(rates) == pytest.approx(min(rates))
    for text in ("segment 3", "the rest", "queue p50", profile.bundle, str(out)):
        assert text in shown


def test_json_is_the_profile_itself_and_loads_may_be_left_out(store: Path, bundle_path: Path, tmp_path: Path) -> None:
    bundle_id = read_bundle(bundle_path).bundle_id
    done = run_cli("profile", "--store", store, "--bundle", bundle_id, "--loads", "", "--rest-ms", 0, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    (tmp_path / "copy.json").write_text(done.stdout)
    profile = read_profile(tmp_path / "copy.json")
    assert isinstance(profile, GatewayProfile)
    assert (profile.bundle, profile.loads) == (bundle_id, ())
    assert list(profile.batch_us) == ["8", "64"]


def test_a_name_means_the_highest_version(tmp_path: Path) -> None:
    store = tmp_path / "versions"
    ids = {}
    for version in (2, 10, 9):
        path = store / "hand" / str(version) / "model.specnet"
        ids[version] = make_bundle(path, version=version).bundle_id
    profile = measure_gateway(GatewaySettings(store=str(store), max_batch=4), "hand", [], REQUESTS, rest_s=0.0)
    assert profile.bundle == ids[10]
    assert profile.batch_us == {}


def test_a_bundle_that_is_not_there_is_told_with_those_that_are(store: Path) -> None:
    (store / "hand" / "2").mkdir()
    (store / "hand" / "2" / "model.specnet").write_bytes(b"rubbish")
    with pytest.raises(
        ConfigurationError, match=r"no bundle 'quartz'; it has hand \([0-9a-f]{16}\); not usable: .*zip"
    ):
        measure_gateway(GatewaySettings(store=str(store)), "quartz", [], REQUESTS)


def test_every_request_is_answered_at_the_moment_of_its_own(
    model: ServedModel, engine: OnnxEngine, bundle_path: Path
) -> None:
    requests = sample_requests(engine, model, read_bundle(bundle_path))
    test = LoadTest(engine, model, requests, GatewaySettings(max_batch=4))
    # far more than can be done: the queue grows, and batches are full
    load = test.under_load(0.5, 1e7, REQUESTS, np.random.default_rng(0))
    assert load.requests_s == pytest.approx(0.5e7, rel=0.35)
    assert load.mean_batch > 1
    assert load.queue_ms.values[-1] > load.queue_ms.values[0]
    assert test.capacity(REQUESTS) < 1e7


def test_requests_that_cannot_be_computed_are_an_error(
    model: ServedModel, engine: OnnxEngine, bundle_path: Path
) -> None:
    requests = sample_requests(engine, model, read_bundle(bundle_path))
    engine.unload(model.bundle_id)
    with pytest.raises(ModelError, match=f"{REQUESTS} of {REQUESTS} requests failed: .* is not loaded"):
        LoadTest(engine, model, requests, GatewaySettings()).capacity(REQUESTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--requests", "99"], "--requests is from 100 to 1000000, got 99"),
        (["--loads", "1.5"], "--loads takes up to 16 shares from 0.01 to 0.99 such as 0.25,0.5, got '1.5'"),
        (["--loads", "half"], "got 'half'"),
        (["--rest-ms", "nan"], "--rest-ms is from 0 to 10000, got nan"),
        (["--loads", "nan"], "got 'nan'"),
        (["--max-batch", "0"], "max_batch is from 1 to 1024, got 0"),
        (["--store", "/does/not/exist"], "model store '/does/not/exist' is no folder"),
        (["--bundle", "quartz", "--loads", ""], "has no bundle 'quartz'; it has hand"),
    ],
)
def test_mistakes_are_one_line(
    store: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["profile", "--store", str(store), "--bundle", "hand", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("specnet-gateway: ")
    assert message in line


def test_a_profile_that_cannot_be_written_is_named(store: Path, bundle_path: Path) -> None:
    out = bundle_path / "gateway.json"
    done = run_cli("profile", "--store", store, "--bundle", "hand", "--loads", "", "--rest-ms", 0, "--out", out)
    assert done.returncode == 2
    assert f"{out}: cannot be written" in done.stderr


def test_an_interrupted_profile_leaves_nothing(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    words = ["profile", "--store", store, "--bundle", "hand", "--requests", 1_000_000, "--rest-ms", 0]
    words += ["--out", folder / "gateway.json"]
    terminal, its_end = os.openpty()
    process = subprocess.Popen([sys.executable, "-m", "gateway.cli", *map(str, words)], cwd=ROOT, stderr=its_end)
    os.close(its_end)
    try:
        said = b""
        while b"capacity" not in said:  # the status line of a terminal says what is being done
            said += os.read(terminal, 1000)
        process.send_signal(signal.SIGINT)
        while b"interrupted" not in said:
            said += os.read(terminal, 1000)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert b"Traceback" not in said
    assert b"specnet-gateway: interrupted" in said
    assert list(folder.iterdir()) == []
