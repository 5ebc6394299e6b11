"""A device without instrument and network: records spectra, asks, concludes, and says so on stdout, until it is killed.

``python journal_program.py JOURNAL SEED [FILE_LIMIT]``: one line of JSON for each thing that was said, after it is in
the journal. With FILE_LIMIT the process may write no file longer than so many bytes, as on a full disk.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path

import msgspec
from support_device import PAYLOAD, pending_request
from support_journal import final, spectrum

from device.journal import HistorySettings, Journal, OutboxSettings
from device.journal.keeper import Keeper
from device.outbox import Outbox


def say(kind: str, boot: int, sequence: int, label: int = -1, recorded: bool = True) -> None:
    sys.stdout.write(json.dumps([kind, boot, sequence, label, recorded]) + "\n")
    sys.stdout.flush()


def main() -> None:
    path, generator = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    bounds = OutboxSettings(max_requests=20, max_bytes=1 << 20)
    journal = Journal(path, bounds, HistorySettings(max_rows=200, flush_s=0.02, flush_spectra=8))
    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    outbox, keeper = Outbox(journal, bounds), Keeper(journal)
    keeper.start()
    for repeated in journal.to_repeat:
        say(repeated.outcome, *repeated.key, -1 if repeated.label is None else repeated.label)
    journal.said(journal.to_repeat)
    say("boot", journal.boot, 0)
    sequence = 0
    while True:
        recorded = journal.record(spectrum(journal, sequence))
        say("recorded", journal.boot, sequence, recorded=recorded)
        label = generator.randrange(5)
        if generator.random() < 0.5:
            own = final(journal.boot, sequence, label=label)
            recorded = journal.conclude([own]).recorded
            say("answered", *own.key, label, recorded)
            journal.said([own])
        else:
            request = msgspec.structs.replace(pending_request(sequence, journal.boot), label=label)
            try:
                for victim in outbox.put(request, "topic", PAYLOAD):
                    say("dropped", *victim.request.key, victim.request.label)
                    journal.said([victim.final])
                outbox.flush()
            except Exception:
                own = final(journal.boot, sequence, label=label, flags=("not_offloaded",))
                say("answered", *own.key, label, journal.conclude([own]).recorded)
                journal.said([own])
        waiting = [request for request in outbox.pending() if not journal.is_concluded(request.key)]
        if len(waiting) > 5 and generator.random() < 0.5:
            chosen = generator.sample(waiting, 4)
            finals = [final(*request.key, label=request.label, source="gateway", payload_bytes=1) for request in chosen]
            recorded = journal.conclude(finals).recorded
            for answer in finals:
                say("answered", *answer.key, answer.label or 0, recorded)
            journal.said(finals)
        sequence += 1
        time.sleep(0.0005)


if __name__ == "__main__":
    main()
