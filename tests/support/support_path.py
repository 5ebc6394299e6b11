"""The whole path as processes: a replaying spectrometer, a device, a broker, a gateway; and what has to come out of it.

Legend: n spectra.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support_broker import Broker
from support_device import DeviceProcess

from device.classifier import LocalAnswer, LocalClassifier
from device.spectrometers.axis import PixelAxis
from specnet.bundle import Bundle, read_bundle
from specnet.codec import RAW, decode_features, encode_features
from specnet.runtime import Predictor, Segments

FIXTURES = Path(__file__).parent.parent / "device" / "fixtures"
BUNDLE = FIXTURES / "tiny.specnet"
SPLIT = 1
UNCERTAIN = 0.4
"""Share of a recording's spectra that the gateway has to finish."""
POOL, MAX_NOISE = 4, 0.1
SITE, DEVICE = "lab", "node-1"
INTERVAL_S = 0.012
DRAIN_S = 60.0
END_S = 90.0


@dataclass(frozen=True)
class Recording:
    """Spectra to replay, and what has to be said of them with a split.

    Parameters
    ----------
    spectra
        Counts ``(n, n_points)``.
    split
        What the device runs.
    """

    spectra: NDArray[np.uint32]
    split: int = SPLIT

    def __len__(self) -> int:
        return len(self.spectra)

    @cached_property
    def bundle(self) -> Bundle:
        """The model."""
        return read_bundle(BUNDLE)

    @cached_property
    def local(self) -> list[LocalAnswer]:
        """What the device has to say by itself."""
        axis = self.bundle.source_axis
        classifier = LocalClassifier(self.bundle, PixelAxis(axis, np.arange(axis.n_points)), self.split)
        answers = [classifier.classify(row) for row in self.spectra]
        assert all(isinstance(answer, LocalAnswer) for answer in answers)
        return [answer for answer in answers if isinstance(answer, LocalAnswer)]

    @cached_property
    def uncertain(self) -> list[int]:
        """Which spectra the gateway has to finish."""
        return [index for index, answer in enumerate(self.local) if not answer.confident]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Labels ``(n,)`` of the same model in one process: nothing is quantised."""
        return Predictor(self.bundle).predict(self.spectra).labels

    def finished(self, index: int) -> int:
        """Label that the gateway has to find for an uncertain spectrum: features and state as they are received."""
        manifest, answer = self.bundle.manifest, self.local[index]
        assert answer.features is not None
        features = self._received(answer)[None]
        state = manifest.state_layout.decode(manifest.state_layout.encode(answer.state))[None]
        for k in range(self.split + 1, manifest.n_stages + 1):
            output = self._segments.run(k, features)
            decision = manifest.policy.decide(k, output.logits, state)
            if decision.leave[0]:
                return int(decision.probabilities[0].argmax())
            state = decision.state
            features = features if output.features is None else output.features
        raise AssertionError("the last exit lets everything leave")

    def _received(self, answer: LocalAnswer) -> NDArray[np.float32]:
        assert answer.features is not None
        name, bundle = self.bundle.manifest.codecs[str(self.split)], self.bundle
        if name == RAW:  # lossless, and preprocessed by the same code
            return answer.features
        encoded = encode_features(name, answer.features, bundle.codecs, active=answer.active)
        return decode_features(encoded, bundle.manifest.split_shape(self.split), bundle.codecs)

    @cached_property
    def _segments(self) -> Segments:
        return Segments(self.bundle)


def make_recording(n: int, *, split: int = SPLIT, seed: int = 1) -> Recording:
    """Draw n noisy repetitions of the fixture's spectra in random order; `UNCERTAIN` of them are so at the split."""
    with np.load(FIXTURES / "tiny.npz", allow_pickle=False) as arrays:
        intensity = arrays["intensity"].astype(np.float64)
    generator = np.random.default_rng(seed)
    chosen = intensity[generator.permutation(np.arange(POOL * n) % len(intensity))]
    # noise in proportion to the spectrum's range, and more of it from spectrum to spectrum
    scale = np.linspace(0.0, MAX_NOISE, len(chosen))[:, None] * np.ptp(chosen, axis=1, keepdims=True)
    noisy = np.rint(chosen + scale * generator.standard_normal(chosen.shape))
    pool = Recording(np.clip(noisy, 1, 60_000).astype(np.uint32), split)
    uncertain = np.array(pool.uncertain)
    confident = np.setdiff1d(np.arange(len(pool)), uncertain)
    n_uncertain = round(UNCERTAIN * n)
    rows = np.concatenate([uncertain[:n_uncertain], confident[: n - n_uncertain]])
    assert len(rows) == n, f"the fixture gives {len(uncertain)} uncertain spectra of {len(pool)}"
    return Recording(pool.spectra[generator.permutation(rows)], split)


class Board(DeviceProcess):
    """``specnet-device simulate`` as a process that has told its port."""

    def __init__(self, recording: Recording, folder: Path, *options: object) -> None:
        file, self.link = folder / "replay.npz", folder / "spectrometer"
        np.savez(file, intensity=recording.spectra)
        super().__init__("simulate", file, "--link", self.link, *options)
        self.wait_for(lambda: self.records, "the board tells its port")


class Node(DeviceProcess):
    """``specnet-device run`` as a process.

    Parameters
    ----------
    folder
        Holds the state directory.
    broker
        Where to connect; it need not run, but must have a port.
    board
        The spectrometer.
    split
        What runs here.
    settings
        More settings; a double underscore stands for a dot.
    """

    def __init__(self, folder: Path, broker: Broker, board: Board, *, split: int = SPLIT, **settings: object) -> None:
        defaults = {
            "site": SITE,
            "device": DEVICE,
            "seed": 1,
            "split": split,
            "spectrometer.interval_s": INTERVAL_S,
            "spectrometer.integration_time_s": 0.001,
            # a machine that is busy for seconds must not look like a broken instrument
            "spectrometer.timeout_s": 30.0,
            "uplink.retry_s": 0.2,
            "uplink.retry_max_s": 0.5,
            "uplink.deadline_s": 0.2,
            "uplink.drain_s": DRAIN_S,
            "broker.reconnect_min_s": 0.05,
            "broker.reconnect_max_s": 0.2,
        }
        chosen = {**defaults, **{name.replace("__", "."): value for name, value in settings.items()}}
        assignments = [item for name, value in chosen.items() for item in ("--set", f"{name}={value}")]
        address = ("--broker", f"{broker.host}:{broker.port}")
        paths = ("--bundle", BUNDLE, "--state-dir", folder / "state", "--port", board.link)
        super().__init__("run", *paths, *address, *assignments)

    @property
    def finals(self) -> list[dict[str, Any]]:
        """Final answers and rejections so far."""
        return [record for record in self.of_type("answer") + self.of_type("rejected") if record["final"]]

    @property
    def from_gateway(self) -> list[dict[str, Any]]:
        """Final answers that the gateway gave, so far."""
        return [record for record in self.finals if record.get("source") == "gateway"]

    @property
    def summary(self) -> dict[str, Any]:
        """What it said at its end."""
        [summary] = self.of_type("summary")
        return summary

    def is_under_way(self) -> None:
        """Wait until it has answered some spectra, both kinds of them."""
        self.wait_for(lambda: len(self.finals) >= 15 and self.from_gateway, "answers by device and gateway")

    def misses_an_answer(self) -> None:
        """Wait until one more deadline has passed without an answer of the gateway."""
        before = len(self.of_type("provisional"))
        self.wait_for(lambda: len(self.of_type("provisional")) > before, "an answer is overdue")

    def finish(self) -> None:
        """Wait for the end of the replay and of everything that is pending."""
        assert self.wait(END_S) == 0, "".join(self.errors)


def make_store(folder: Path) -> Path:
    """A gateway's store with the fixture's bundle."""
    path = folder / "store" / "tiny" / "1" / "model.specnet"
    path.parent.mkdir(parents=True)
    shutil.copyfile(BUNDLE, path)
    return folder / "store"


def check_answers(node: Node, recording: Recording) -> None:
    """Each spectrum has one final answer, from whom and what it should be."""
    finals = node.finals
    answered = Counter(record["sequence"] for record in finals)
    assert answered == Counter(range(len(recording))), "each spectrum has exactly one final answer"
    assert node.summary["lost"] == 0
    labels = {record["sequence"]: record["label"] for record in finals}
    sources = {record["sequence"]: record["source"] for record in finals}
    uncertain = set(recording.uncertain)
    assert sources == {i: "gateway" if i in uncertain else "device" for i in range(len(recording))}
    for index in set(range(len(recording))) - uncertain:
        assert labels[index] == recording.local[index].label == recording.predicted[index]
    check_gateway_labels(recording, {index: labels[index] for index in uncertain})


def check_gateway_labels(recording: Recording, labels: dict[int, int]) -> None:
    """The gateway's answers are the predictor's, as far as the codec lets them be."""
    through_the_codec = np.mean([label == recording.finished(index) for index, label in labels.items()])
    in_one_process = np.mean([label == recording.predicted[index] for index, label in labels.items()])
    # batches of another size round differently, and a tie may then fall the other way
    assert through_the_codec >= 0.97
    assert in_one_process >= 0.97


__all__ = [
    "DEVICE",
    "SITE",
    "Board",
    "Node",
    "Recording",
    "check_answers",
    "check_gateway_labels",
    "make_recording",
    "make_store",
]
