"""What a device says of its spectra to whoever wants to know."""

from __future__ import annotations

from specnet.wire.fields import require, require_counters, require_names, require_text
from specnet.wire.messages import MAX_LIST, Message, check_answer


class Answer(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device says of a spectrum, published for whoever wants to know; nobody acknowledges it.

    Parameters
    ----------
    device, boot, sequence, bundle
        Which spectrum, judged by which model.
    label, class_name, probability, exit_index
        The answer.
    final
        False for a provisional answer, which a later one with the same ids replaces.
    source
        Who found it: ``device`` or ``gateway``.
    flags
        Remarks, such as ``dropped`` or ``gateway_error``.
    known
        False for a spectrum that looks like no known class; `label` is then the class that it resembles most.
    """

    device: str
    boot: int
    sequence: int
    bundle: str
    label: int
    class_name: str
    probability: float
    exit_index: int
    final: bool
    source: str
    flags: tuple[str, ...] = ()
    known: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names(device=self.device, bundle=self.bundle)
        require_counters(boot=self.boot, sequence=self.sequence)
        check_answer(self.label, self.probability, self.exit_index)
        allowed = ("device", "gateway")
        require(self.source in allowed, f"source is one of {allowed}, got {self.source[:40]!r}")
        require(len(self.flags) <= MAX_LIST, f"flags has {len(self.flags)} items, at most {MAX_LIST}")
        require_text(class_name=self.class_name, **{f"flag {i}": flag for i, flag in enumerate(self.flags)})


class Unanswered(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last word about a spectrum that gets no answer, published where `Answer` is, on a topic of its own.

    So whoever counts pieces on a belt misses none, and a reader of an earlier release is not bothered.

    Parameters
    ----------
    device, boot, sequence
        Which spectrum.
    outcome
        ``rejected``: it cannot be judged; ``dropped``: given up before it was judged; ``lost``: the device ended first.
    reason
        Why.
    flags
        What is known against the spectrum, and ``repeated`` when this may have been said before.
    """

    device: str
    boot: int
    sequence: int
    outcome: str
    reason: str
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names(device=self.device)
        require_counters(boot=self.boot, sequence=self.sequence)
        allowed = ("rejected", "dropped", "lost")
        require(self.outcome in allowed, f"outcome is one of {allowed}, got {self.outcome[:40]!r}")
        require(len(self.flags) <= MAX_LIST, f"flags has {len(self.flags)} items, at most {MAX_LIST}")
        require_text(reason=self.reason, **{f"flag {i}": flag for i, flag in enumerate(self.flags)})
