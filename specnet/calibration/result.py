"""What calibration found, as a validated document that is kept beside the run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from specnet.calibration.cached import CachedLogits
from specnet.calibration.candidates import Candidate
from specnet.calibration.exit_table import ExitTable
from specnet.calibration.operating_point import OperatingPoint
from specnet.calibration.reject import RejectControl
from specnet.calibration.risk import RiskControl
from specnet.errors import ConfigurationError, ModelError
from specnet.exits import NEVER, ExitPolicy
from specnet.files import read_bounded, write_bytes

FORMAT = "specnet-calibration"
FORMAT_VERSION = 1
MAX_BYTES = 8 << 20


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Temperatures, combiner and operating points of one network, fitted on its calibration split.

    Parameters
    ----------
    n_spectra
        Size of the calibration split.
    static_macs
        MACs of the full network.
    combiner_nll
        Negative log-likelihood of each combiner on the split; the least was chosen.
    bias_gain
        Nats a spectrum by which biases of classes make the split likelier, cross-fitted; None where none were tried.
    front
        Candidates on the front of cost and accuracy, cheapest first.
    operating_points
        Exit policies by the names of `OperatingPoint`.
    chosen
        Name of the operating point in force.
    mean_macs, accuracy
        What it does on the calibration split.
    risk, reject
        What is promised of the operating point `OperatingPoint.RISK` and of the reject rule, where it was asked for.

    Raises
    ------
    ConfigurationError
        When the chosen point is missing, the front is empty, or numbers of exits differ.
    """

    n_spectra: int
    static_macs: int
    combiner_nll: dict[str, float]
    front: tuple[Candidate, ...]
    operating_points: dict[str, ExitPolicy]
    chosen: str
    mean_macs: float
    accuracy: float
    risk: RiskControl | None = None
    reject: RejectControl | None = None
    bias_gain: float | None = None
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format != FORMAT or self.format_version != FORMAT_VERSION:
            raise ConfigurationError(
                f"expected {FORMAT} version {FORMAT_VERSION}, got {self.format[:40]!r} version {self.format_version}"
            )
        unknown = sorted(set(self.operating_points) - set(OperatingPoint))
        if unknown or self.chosen not in self.operating_points:
            raise ConfigurationError(
                f"operating point {self.chosen!r} is in force, the calibration has {', '.join(self.operating_points)}; "
                f"known names: {', '.join(OperatingPoint)}"
            )
        exits = {policy.n_exits for policy in self.operating_points.values()}
        exits |= {len(candidate.thresholds) for candidate in self.front}
        if len(exits) != 1 or not self.front:
            raise ConfigurationError(
                f"operating points and a front of {len(self.front)} candidates (at least 1 expected) have different "
                f"numbers of exits: {sorted(exits)}"
            )

    @property
    def policy(self) -> ExitPolicy:
        """Exit policy of the operating point in force."""
        return self.operating_points[self.chosen]

    @property
    def notes(self) -> list[str]:
        """Remarks in plain words on promises that so few spectra cannot support, and on misjudged classes."""
        notes = []
        if self.policy.biases and self.bias_gain is not None:
            found = (
                f"{self.bias_gain:.3f} nats likelier with it, so they differ from those that were trained on"
                if self.bias_gain > 0
                else f"{-self.bias_gain:.3f} nats less likely with it"
            )
            notes.append(f"every exit's answers are corrected class by class: calibration spectra are {found}")
        if self.risk is not None and self.risk.threshold >= NEVER:
            notes.append(
                f"nothing leaves early: no threshold keeps the risk at {self.risk.max_risk:g} for sure on "
                f"{self.risk.n_risk} spectra; at best, so many could support a risk of {self.risk.least_risk:.4f}"
            )
        if self.reject is not None and self.reject.false_alarm < self.reject.least_false_alarm:
            notes.append(
                f"nothing is rejected: {self.reject.n_reject} spectra support a false-alarm rate of "
                f"{self.reject.least_false_alarm:.4f} at least, not {self.reject.false_alarm:g}"
            )
        return notes

    def describes(self, cached: CachedLogits) -> bool:
        """Whether the operating point still does on a calibration split what it did when it was chosen.

        False after the network was trained again or with other data; rounding between machines is allowed for.
        """
        if (cached.n_exits, cached.n_spectra) != (self.policy.n_exits, self.n_spectra):
            return False
        outcome = ExitTable.of(cached, self.policy).outcome(self.policy.thresholds)
        same_accuracy = abs(outcome.accuracy - self.accuracy) <= max(0.002, 1.5 / self.n_spectra)
        return same_accuracy and abs(outcome.mean_macs - self.mean_macs) <= 0.01 * self.mean_macs

    def to_json(self) -> bytes:
        """Encode the document, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def write(self, path: Path | str) -> Path:
        """Write the document atomically."""
        return write_bytes(path, self.to_json())


def parse_calibration(document: bytes, name: str = "calibration") -> Calibration:
    """Read a document made by `Calibration.to_json`.

    Raises
    ------
    ModelError
        When it is too large or invalid.
    """
    if len(document) > MAX_BYTES:
        raise ModelError(f"{name} has {len(document)} bytes, at most {MAX_BYTES} are accepted")
    try:
        return msgspec.json.decode(document, type=Calibration)
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigurationError) as error:
        raise ModelError(f"{name} is no valid calibration: {error}") from error


def read_calibration(path: Path | str) -> Calibration:
    """Read a calibration file; `ModelError` when it is missing, too large or invalid."""
    path = Path(path)
    document = read_bounded(path, MAX_BYTES, "calibration", ModelError)
    return parse_calibration(document, str(path))
