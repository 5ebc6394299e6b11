"""Bottlenecks of a run: trained, written, read, packed, and what they cost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from support_trained import Trained

from specnet.bundle import read_bundle
from specnet.cli import main
from specnet.codec import LearnedCodec
from specnet.datasets import Holdout
from specnet.errors import ConfigurationError, ModelError
from specnet.nn import SpecNet
from specnet.nn.splitting import run_until
from specnet.packing import pack
from specnet.training import load_run
from specnet.training.bottleneck import train_bottleneck
from specnet.training.bottleneck_files import StoredBottleneck, read_bottlenecks, write_bottleneck
from specnet.training.bottleneck_recipe import BottleneckRecipe
from specnet.training.coded import judge_coded

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = BottleneckRecipe(split=1, price=0.0005, epochs=12, batch_size=16, hidden=32)


@pytest.fixture(scope="module")
def codec(trained: Trained) -> LearnedCodec:
    return train_bottleneck(trained.run, trained.data, RECIPE)


def test_a_few_dozen_bytes_say_nearly_what_the_features_say(trained: Trained, codec: LearnedCodec) -> None:
    held = trained.run.cache(trained.data, Holdout.TEST)
    coded = judge_coded(trained.run, 1, codec, held.logits, held.spectra)
    whole = held.logits.logits.argmax(axis=2)
    agreement = (coded.logits.logits.argmax(axis=2) == whole).mean(axis=1)
    assert (agreement[:2] == 1).all()  # up to the split nothing changes
    assert agreement[2:].min() > 0.85
    positions, channels = codec.info.shape
    assert coded.n_bytes.max() < positions * channels / 4


def test_training_again_gives_the_same_numbers(trained: Trained, codec: LearnedCodec) -> None:
    again = train_bottleneck(trained.run, trained.data, RECIPE)
    for name, array in codec.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array, err_msg=name)


def test_the_codec_is_the_module(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from specnet.training import bottleneck as module

    kept = {}
    folded = module.learned_codec

    def watch(network, bottleneck, *rest, **options):  # type: ignore[no-untyped-def]
        kept["module"] = bottleneck
        return folded(network, bottleneck, *rest, **options)

    monkeypatch.setattr(module, "learned_codec", watch)
    codec = train_bottleneck(trained.run, trained.data, replace(RECIPE, epochs=2))
    network = trained.run.network
    assert isinstance(network, SpecNet)
    spectra = trained.run.cache(trained.data, Holdout.TEST).spectra[:20]
    with torch.no_grad():
        features = run_until(network, 1, torch.from_numpy(spectra)[:, None]).features
        symbols = kept["module"].symbols(features)
        restored = kept["module"].restore(symbols).numpy()
    ours = np.stack([codec.symbols(one) for one in features.numpy()])
    assert (ours == symbols.numpy()).mean() > 0.999  # a tie may fall the other way
    np.testing.assert_allclose(codec.restore(symbols.numpy().astype(int)), restored, rtol=1e-3, atol=1e-3)


def test_a_higher_price_makes_it_smaller(trained: Trained, codec: LearnedCodec) -> None:
    dear = train_bottleneck(trained.run, trained.data, replace(RECIPE, price=0.02))
    held = trained.run.cache(trained.data, Holdout.TEST)
    sizes = [judge_coded(trained.run, 1, one, held.logits, held.spectra).n_bytes.mean() for one in (codec, dear)]
    assert sizes[1] < 0.8 * sizes[0]


def test_halted_patches_can_be_left_out(trained: Trained) -> None:
    codec = train_bottleneck(trained.run, trained.data, replace(RECIPE, skips_halted=True, epochs=2))
    assert codec.info.skips_halted
    held = trained.run.cache(trained.data, Holdout.TEST)
    coded = judge_coded(trained.run, 1, codec, held.logits, held.spectra)
    assert np.isfinite(coded.logits.logits).all()


def test_it_survives_the_disk_and_notices_damage(trained: Trained, codec: LearnedCodec, tmp_path: Path) -> None:
    run = load_run(shutil.copytree(trained.run.path, tmp_path / "run"))
    path = write_bottleneck(run, StoredBottleneck("b1", codec, RECIPE.to_dict()))
    [back] = read_bottlenecks(run)
    assert (back.name, back.recipe) == ("b1", RECIPE.to_dict())
    assert back.codec.info == msgspec.structs.replace(codec.info, file="bottlenecks/b1.npz")
    for name, array in codec.arrays().items():
        np.testing.assert_array_equal(back.codec.arrays()[name], array)
    arrays = path.with_suffix(".npz")
    good = arrays.read_bytes()
    arrays.write_bytes(good[:-20] + bytes(20))
    with pytest.raises(ModelError, match="has hash"):
        read_bottlenecks(run)
    arrays.unlink()
    with pytest.raises(ModelError, match="cannot read"):
        read_bottlenecks(run)
    arrays.write_bytes(good)
    path.write_text("{}")
    with pytest.raises(ModelError, match="is no bottleneck: KeyError"):
        read_bottlenecks(run)


def test_it_belongs_to_its_weights(trained: Trained, codec: LearnedCodec, tmp_path: Path) -> None:
    run = load_run(shutil.copytree(trained.run.path, tmp_path / "run"))
    write_bottleneck(run, StoredBottleneck("b1", codec, RECIPE.to_dict()))
    weights = run.path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ModelError, match="was trained for other weights"):
        read_bottlenecks(run)


def test_the_command_trains_what_is_missing_and_the_bundle_takes_it(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained.run.path, tmp_path / "run")
    words = ["train", "bottleneck", str(run), str(trained.data), "--split", "1,2", "--price", "0.001", "--epochs", "6"]
    assert main([*words, "--json"]) == 0
    [first, second] = json.loads(capsys.readouterr().out)["bottlenecks"]
    assert (first["name"], second["name"]) == ("b1-0.001", "b2-0.001")
    stamps = [path.stat().st_mtime_ns for path in sorted((run / "bottlenecks").iterdir())]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bottlenecks"] == [first, second]
    assert [path.stat().st_mtime_ns for path in sorted((run / "bottlenecks").iterdir())] == stamps
    manifest = pack(load_run(run), trained.data, tmp_path / "minerals.specnet")
    assert set(manifest.bottlenecks) == {"b1-0.001", "b2-0.001"}
    for split, one in (("1", first), ("2", second)):
        fine = one["accuracy"] >= one["whole_accuracy"] - 0.005
        assert manifest.codecs[split] == (one["name"] if fine else "int8")
    bundle = read_bundle(tmp_path / "minerals.specnet")
    assert {"b1-0.001", "b2-0.001", "int8"} <= set(bundle.codecs)
    assert main(["bench", "codec", str(run), str(trained.data), "--out", str(tmp_path / "codec"), "--json"]) == 0
    rows = {(row["kind"], row["split"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["bottleneck", 1]["mean_bytes"] < rows["features", 1]["mean_bytes"] / 3
    assert rows["spectrum", 0]["accuracy"] >= rows["spectrum", 0]["whole_accuracy"] - 0.05  # the state is rounded
    assert all(0 <= row["offload_share"] <= 1 for row in rows.values())
    assert (tmp_path / "codec" / "codec.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "0"), "split is 0, features are handed over at 1 to"),
        (("--split", "9"), "split is 9, features are handed over at 1 to"),
        (("--price", "cheap"), "got 'cheap'"),
        (("--price", "-1"), "price of a bottleneck is -1.0"),
        (("--bits", "1"), "bits of a bottleneck are 1, expected 2 to 8"),
        (("--split", "1,1"), "expected each number once"),
    ],
)
def test_mistakes_are_named(
    trained: Trained, options: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(trained.run.path.iterdir())
    assert main(["train", "bottleneck", str(trained.run.path), str(trained.data), *options]) == 2
    assert message in capsys.readouterr().err
    assert sorted(trained.run.path.iterdir()) == before


def test_a_baseline_has_no_split_points(trained: Trained) -> None:
    from specnet.nn import create_model

    other = replace(trained.run, network=create_model("resnet1d", n_points=300, n_classes=6))
    with pytest.raises(ConfigurationError, match="is a baseline for comparison"):
        train_bottleneck(other, trained.data, RECIPE)


def test_it_can_be_trained_together_with_the_network(
    spectra_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "run", ["train", str(spectra_file), "--preset", "nano", "--preprocessing", "snv"]
    words += ["--augmentation", "light", "--epochs", "12", "--bottleneck", "1", "--bottleneck-price", "0.0005"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    capsys.readouterr()
    run = load_run(out)
    [stored] = read_bottlenecks(run)
    assert stored.name == "b1-joint"
    assert stored.codec.info.accuracy > 0.8
    held = run.cache(spectra_file, Holdout.TEST)
    coded = judge_coded(run, 1, stored.codec, held.logits, held.spectra)
    agreement = (coded.logits.logits[2:].argmax(axis=2) == held.logits.logits[2:].argmax(axis=2)).mean()
    assert agreement > 0.8
    assert coded.n_bytes.mean() < held.logits.n_classes * 40
    assert pack(run, spectra_file, tmp_path / "joint.specnet").bottlenecks["b1-joint"].mean_bytes > 0


def test_in_training_all_of_it_learns_and_in_use_it_is_the_network(trained: Trained) -> None:
    from specnet.nn.coded import with_bottleneck
    from specnet.training.losses import LOSSES, Context

    plain = trained.run.network
    assert isinstance(plain, SpecNet)
    coded = with_bottleneck(plain, 1, RECIPE.shape(plain))
    spectra, labels = torch.randn(8, 1, 300), torch.arange(8) % 6
    coded.eval()
    with torch.no_grad():
        for one, other in zip(coded(spectra).logits, plain(spectra).logits, strict=True):
            torch.testing.assert_close(one, other)
    assert not coded(spectra).coded
    coded.train()
    outputs = coded(spectra)
    assert len(outputs.coded) == plain.config.n_stages - 1
    config = replace(trained.config, bottleneck=1, bottleneck_price=0.01)
    assert config.all_losses[-1] == "coded_path"
    loss = LOSSES["coded_path"](outputs, labels, Context(coded, config, 1.0))
    terms = [torch.nn.functional.cross_entropy(logits, labels) for logits in outputs.coded]
    expected = sum(terms) / len(terms) + 0.01 * outputs.bits[0].mean()
    torch.testing.assert_close(loss, torch.as_tensor(expected))
    loss.backward()
    for name in ("bottleneck.analyse.weight", "bottleneck.log_gain", "stem.weight", "stages.2.merge.weight"):
        assert coded.get_parameter(name).grad is not None, name
    torch.testing.assert_close(coded.alone().state_dict()["stem.weight"], plain.state_dict()["stem.weight"])


def test_recipes_without_a_bottleneck_read_as_before(trained: Trained) -> None:
    assert "bottleneck" not in trained.config.to_dict()
    assert replace(trained.config, bottleneck=2).to_dict()["bottleneck"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bottleneck", "7"), "split is 7, features are handed over at 1 to"),
        (("--bottleneck", "1", "--preset", "resnet1d"), "has no split points"),
        (("--bottleneck", "1", "--bottleneck-price", "-1"), "bottleneck_price is -1.0"),
    ],
)
def test_joint_training_names_mistakes(
    spectra_file: Path, tmp_path: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(spectra_file), "--out", str(tmp_path / "run"), "--epochs", "4", *options]) == 2
    assert message in capsys.readouterr().err


def test_one_that_was_not_judged_is_packed_but_not_taken(trained: Trained, codec: LearnedCodec, tmp_path: Path) -> None:
    run = load_run(shutil.copytree(trained.run.path, tmp_path / "run"))
    write_bottleneck(run, StoredBottleneck("b1-new", codec, RECIPE.to_dict()))
    manifest = pack(run, trained.data, tmp_path / "minerals.specnet")
    assert manifest.bottlenecks["b1-new"].file == "bottlenecks/b1-new.npz"
    assert manifest.codecs["1"] == "int8"
