"""``specnet tune`` and ``specnet export --deployment`` on a trained run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support_profiles import device_profile
from support_trained import Trained

from specnet.bundle import read_bundle
from specnet.calibration import read_calibration
from specnet.cli import main
from specnet.datasets import Holdout
from specnet.profiles import Quantiles, write_profile
from specnet.training import load_run
from specnet.tuning.deployment import placements_of, read_deployment
from specnet.tuning.options import list_options

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with a bottleneck."""
    folder = shutil.copytree(trained.run.path, tmp_path_factory.mktemp("tune") / "run")
    words = ["train", "bottleneck", str(folder), str(trained.data), "--price", "0.0005", "--epochs", "12"]
    assert main([*words, "--json"]) == 0
    return folder


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slow board."""
    times = Quantiles.constant
    profile = msgspec.structs.replace(
        device_profile(),
        segments_us={str(k): times(20_000.0 * (k + 1)) for k in range(4)},
        codecs_us={"0:raw": times(300.0), "1:int8": times(200.0), "2:int8": times(200.0)},
    )
    return write_profile(tmp_path_factory.mktemp("profiles") / "board.json", profile)


def tuned(
    run: Path, data: Path, device: Path | str, out: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, Any]:
    words = ["tune", str(run), str(data), "--device", str(device), "--out", str(out), "--json", *more]
    assert main(words) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_it_chooses_writes_and_the_bundle_obeys(
    trained: Trained, run: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = tuned(run, trained.data, device, tmp_path / "out", capsys, "--link", "wifi")
    contract = {"split", "thresholds", "codec", "accuracy", "p50_ms", "p95_ms", "bytes_per_spectrum", "mean_bytes"}
    contract |= {"energy_mj", "offload_share"}
    assert contract <= set(found["chosen"])
    assert all(contract <= set(one) for one in found["front"])
    deployment = read_deployment(found["deployment"])
    assert json.loads(msgspec.json.encode(deployment.chosen)) == found["chosen"]
    assert deployment.operating_points["chosen"] == deployment.chosen
    bundle_path = tmp_path / "tuned.specnet"
    words = ["export", str(run), str(trained.data), "--deployment", found["deployment"], "--out", str(bundle_path)]
    assert main([*words, "--json"]) == 0
    manifest = read_bundle(bundle_path).manifest
    chosen = found["chosen"]
    assert manifest.policy.thresholds == tuple(chosen["thresholds"])
    placement = manifest.placements["chosen"]
    assert (placement.split, placement.codec) == (chosen["split"], chosen["codec"])
    if chosen["codec"]:
        assert manifest.codecs[str(chosen["split"])] == chosen["codec"]
    assert set(deployment.operating_points) <= set(manifest.operating_points)
    assert manifest.placements == placements_of(deployment)


def test_links_decide_where_to_split(
    trained: Trained, run: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    limits = ("--min-accuracy", "0.5")
    quick = tuned(run, trained.data, device, tmp_path / "a", capsys, "--link", "ethernet", *limits)["chosen"]
    slow = tuned(run, trained.data, device, tmp_path / "b", capsys, "--link", "nb-iot", *limits)["chosen"]
    assert quick["p95_ms"] <= slow["p95_ms"] < 100_000
    silent = ("--link", "wifi", "--max-bytes-per-hour", "0", "--no-answers")
    none = tuned(run, trained.data, device, tmp_path / "c", capsys, *silent)
    assert none["chosen"]["mean_bytes"] == 0
    words = ["tune", str(run), str(trained.data), "--device", str(device), "--out", str(tmp_path / "e"), *silent[:-1]]
    assert main(words) == 2
    assert "answers that the device publishes take" in capsys.readouterr().err
    few = tuned(
        run, trained.data, device, tmp_path / "d", capsys, "--link", "lorawan-dr4", "--max-request-bytes", "222",
        "--spectra-per-hour", "6",
    )  # fmt: skip
    assert few["chosen"]["bytes_per_spectrum"] <= 222


def test_options_are_judged_once_and_say_what_the_codec_leaves(trained: Trained, run: Path) -> None:
    loaded = load_run(run)
    policy = read_calibration(loaded.calibration_path).policy
    held = loaded.cache(trained.data, Holdout.CALIBRATION)
    first = list_options(loaded, trained.data, policy, held)
    assert [(one.split, one.codec) for one in first] == [
        (3, ""), (0, "raw"), (1, "int8"), (1, "b1-0.0005"), (2, "int8")
    ]  # fmt: skip
    files = sorted((run / "tuning").iterdir())
    stamps = [path.stat().st_mtime_ns for path in files]
    again = list_options(loaded, trained.data, policy, held)
    assert [path.stat().st_mtime_ns for path in sorted((run / "tuning").iterdir())] == stamps
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.cached.logits, other.cached.logits)
        np.testing.assert_array_equal(one.n_bytes, other.n_bytes)
    by_name = {(one.split, one.codec): one for one in first}
    whole, coded, plain = by_name[3, ""], by_name[1, "b1-0.0005"], by_name[1, "int8"]
    np.testing.assert_array_equal(coded.cached.logits[:2], whole.cached.logits[:2])
    assert (coded.cached.logits[2:] != whole.cached.logits[2:]).any()
    assert coded.n_bytes.mean() < plain.n_bytes.mean() / 3
    assert not whole.n_bytes.any()


def test_predicted_sizes_are_those_of_real_requests(trained: Trained, run: Path) -> None:
    """Byte for byte what a device packs for the same spectra, but for the length of its own names and numbers."""
    import torch

    from specnet.codec import StateLayout
    from specnet.evaluation.requests import example_request, states_at
    from specnet.nn import SpecNet
    from specnet.nn.splitting import run_until
    from specnet.training.bottleneck_files import read_bottlenecks

    loaded = load_run(run)
    policy = read_calibration(loaded.calibration_path).policy
    held = loaded.cache(trained.data, Holdout.CALIBRATION)
    option = next(o for o in list_options(loaded, trained.data, policy, held) if o.codec == "b1-0.0005")
    [stored] = read_bottlenecks(loaded)
    assert isinstance(loaded.network, SpecNet)
    layout = StateLayout(policy.state_blocks(len(loaded.classes)))
    with torch.no_grad():
        features = run_until(loaded.network, 1, torch.from_numpy(held.spectra)[:, None]).features.numpy()
    states = states_at(policy, held.logits, 1)
    for row in range(0, len(states), 7):
        payload = example_request(1, stored.name, stored.codec.encode(features[row].copy()), layout.encode(states[row]))
        assert len(payload) == option.n_bytes[row]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--link", "carrier-pigeon"), "--link is 'carrier-pigeon', expected a file or one of ethernet"),
        (("--link", "wifi", "--min-accuracy", "1.0", "--max-p95-ms", "0.001"), "no deployment has at most p95_ms"),
        (("--link", "wifi", "--min-accuracy", "7"), "an accuracy is a share above 0 and at most 1, got 7.0"),
        (("--link", "wifi", "--max-risk", "1.5"), "a risk is a share of spectra above 0 and below 1, got 1.5"),
        (("--link", "wifi", "--spectra-per-hour", "0"), "spectra per hour are above 0"),
    ],
)
def test_mistakes_are_named(
    trained: Trained,
    run: Path,
    device: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["tune", str(run), str(trained.data), "--device", str(device), "--out", str(tmp_path / "out"), *options]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_profiles_of_other_kinds_are_refused(
    trained: Trained, run: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tune", str(run), str(trained.data), "--device", str(device), "--link", str(device)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "is the profile of a device, expected one of a link" in capsys.readouterr().err


def test_a_deployment_of_another_network_is_refused(
    trained: Trained, run: Path, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = tuned(run, trained.data, device, tmp_path / "out", capsys, "--link", "wifi")
    plain = json.loads(Path(found["deployment"]).read_text())
    plain["weights_sha256"] = "0" * 64
    other = tmp_path / "other.json"
    other.write_text(json.dumps(plain))
    words = ["export", str(run), str(trained.data), "--deployment", str(other), "--out", str(tmp_path / "x.specnet")]
    assert main(words) == 2
    assert "whose weights are others" in capsys.readouterr().err
    other.write_text("{}")
    assert main(words) == 2
    assert "is no deployment" in capsys.readouterr().err


def test_this_machine_can_be_measured(
    trained: Trained, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = tuned(run, trained.data, "local", tmp_path / "out", capsys, "--link", "ethernet", "--watts", "4")
    assert found["chosen"]["energy_mj"] > 0
    deployment = read_deployment(found["deployment"])
    assert (deployment.device.name, deployment.device.active_watts) == ("local", 4.0)
    assert {"0", "1", "2", "3"} == set(deployment.device.segments_us)
    assert "1:b1-0.0005" in deployment.device.codecs_us
