"""The journal: what the device has seen, what it has said of it, and what it still owes; one SQLite file.

==========  =============================================================================================
`spectra`   each accepted spectrum, written before anything is said of it
`requests`  what the gateway has still to answer, and audit samples (`device.outbox`)
`answers`   the final answer of each spectrum, exactly once
==========  =============================================================================================

For each recorded spectrum the journal has exactly one of: an answer, a rejection, a counted drop, a counted loss, or a
pending request. Whatever ends the process, the next start restores that. The journal is the truth; lines on stdout and
messages may come twice after a crash, with the same ``(device, boot, sequence)`` and the flag ``repeated``.
"""

from device.journal.ageing import AgeClock, Clock
from device.journal.finals import Accounts, Concluded, Final, Outcome, Spectrum
from device.journal.journal import Journal
from device.journal.settings import HistorySettings, OutboxSettings

__all__ = [
    "Accounts",
    "AgeClock",
    "Clock",
    "Concluded",
    "Final",
    "HistorySettings",
    "Journal",
    "OutboxSettings",
    "Outcome",
    "Spectrum",
]
