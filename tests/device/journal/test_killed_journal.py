"""The journal's process is killed again and again: the books agree, and nothing that was said is contradicted."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from support_device import ROOT
from support_journal import is_balanced, journal_at

PROGRAM = ROOT / "tests" / "support" / "journal_program.py"
KILLS = 6

Said = list[list[Any]]


def run_until_killed(path: Path, seed: int, seconds: float, *more: object) -> Said:
    """Let the program work for so long after its start, kill it, and return what it has said."""
    child = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(path), str(seed), *map(str, more)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    killer = threading.Timer(seconds, child.send_signal, [signal.SIGKILL])
    said: Said = []
    for line in child.stdout:
        # a process killed in the middle of a line leaves half of it
        if line.endswith("\n"):
            said.append(json.loads(line))
            if said[-1][0] == "boot":
                killer.start()
    assert child.wait() == -signal.SIGKILL, child.stderr.read()
    child.stdout.close()
    child.stderr.close()
    return said


def test_whatever_the_moment_each_recorded_spectrum_is_in_one_place_and_no_answer_changes(tmp_path: Path) -> None:
    path, generator = tmp_path / "j.sqlite", random.Random(5)
    said: dict[tuple[int, int], tuple[str, int]] = {}
    recorded = 0
    for n in range(KILLS):
        for kind, boot, sequence, label, was_recorded in run_until_killed(path, n, generator.uniform(0.0, 0.6)):
            assert was_recorded
            if kind == "recorded":
                recorded += 1
            elif kind != "boot":
                outcome = said.setdefault((boot, sequence), (kind, label))
                assert outcome == (kind, label), "said twice, it says the same"
    journal = journal_at(path, max_rows=200, flush_spectra=8, outbox_max_requests=20)
    assert journal.boot == KILLS + 1
    assert journal.start.after == "killed"
    assert journal.start.may_be_missing == 0
    for repeated in journal.to_repeat:
        said.setdefault(repeated.key, (repeated.outcome, -1))
    accounts = journal.accounts()
    assert is_balanced(journal)
    assert accounts.open == 0
    # the confirmation of the last spectrum of each boot may have been cut off
    assert recorded <= accounts.recorded <= recorded + KILLS
    assert accounts.recorded == len(said) + accounts.pending, "every final was said at least once"
    rows = journal.database.rows("SELECT boot, sequence, outcome, COALESCE(label, -1) FROM answers")
    assert rows
    for boot, sequence, outcome, label in rows:
        assert said[boot, sequence] in ((outcome, label), (outcome, -1))
    journal.close()


def test_a_disk_that_is_full_is_survived_and_what_could_not_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: real files that may not grow, which is what SQLite sees of a full disk."""
    path = tmp_path / "j.sqlite"
    said = run_until_killed(path, 1, 1.0, 300_000)
    assert max(file.stat().st_size for file in tmp_path.iterdir()) <= 300_000
    failed = [line for line in said if not line[4]]
    assert failed, "the limit was never reached"
    assert sum(line[0] == "answered" for line in failed) >= 5, "answers go on"
    journal = journal_at(path, max_rows=200, flush_spectra=8, outbox_max_requests=20)
    assert is_balanced(journal)
    assert journal.accounts().open == 0
    on_disk = {(boot, sequence) for boot, sequence in journal.database.rows("SELECT boot, sequence FROM answers")}
    spectra = {(boot, sequence) for boot, sequence in journal.database.rows("SELECT boot, sequence FROM spectra")}
    for kind, boot, sequence, _, was_recorded in said:
        if was_recorded and kind == "recorded":
            assert (boot, sequence) in spectra
        if was_recorded and kind in ("answered", "dropped"):
            assert (boot, sequence) in on_disk
    journal.close()
