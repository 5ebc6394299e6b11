from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support_device import PAYLOAD, ROOT
from support_device import pending_request as request

from device.outbox import Outbox
from specnet.errors import ConfigurationError


def outbox_at(path: Path, *, max_bytes: int = 10_000, max_requests: int = 100) -> Outbox:
    return Outbox(path, max_bytes=max_bytes, max_requests=max_requests)


def test_what_is_put_comes_back_until_it_is_finished(tmp_path: Path) -> None:
    outbox = outbox_at(tmp_path / "o.sqlite")
    assert outbox.put(request(7), "topic", PAYLOAD) == []
    assert outbox.pending() == [request(7)]
    assert outbox.get((1, 7)) == request(7)
    assert outbox.message((1, 7)) == ("topic", PAYLOAD)
    assert (len(outbox), outbox.payload_bytes) == (1, 100)
    assert outbox.finish((1, 7)) is True
    assert outbox.finish((1, 7)) is False
    assert outbox.get((1, 7)) is outbox.message((1, 7)) is None
    assert (len(outbox), outbox.payload_bytes) == (0, 0)


def test_boots_are_counted_and_requests_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "o.sqlite"
    for boot in (1, 2, 3):
        outbox = outbox_at(path)
        assert outbox.boot == boot
        outbox.put(request(boot, boot), "topic", PAYLOAD)
        outbox.close()
    outbox = outbox_at(path)
    assert [pending.key for pending in outbox.pending()] == [(1, 1), (2, 2), (3, 3)]
    assert (len(outbox), outbox.payload_bytes) == (3, 300)


def test_the_oldest_go_when_it_is_full(tmp_path: Path) -> None:
    outbox = outbox_at(tmp_path / "o.sqlite", max_requests=3)
    dropped = [victim.sequence for sequence in range(5) for victim in outbox.put(request(sequence), "t", PAYLOAD)]
    assert dropped == [0, 1]
    assert [pending.sequence for pending in outbox.pending()] == [2, 3, 4]


def test_bytes_are_bounded_and_a_single_request_over_the_bound_does_not_stay(tmp_path: Path) -> None:
    outbox = outbox_at(tmp_path / "o.sqlite", max_bytes=250)
    for sequence in range(3):
        dropped = outbox.put(request(sequence), "t", PAYLOAD)
    assert [victim.sequence for victim in dropped] == [0]
    assert [victim.sequence for victim in outbox.put(request(9), "t", bytes(300))] == [1, 2, 9]
    assert (len(outbox), outbox.payload_bytes) == (0, 0)


def test_a_transaction_that_fails_forgets_nothing(tmp_path: Path) -> None:
    outbox = outbox_at(tmp_path / "o.sqlite")
    outbox.put(request(1), "t", PAYLOAD)

    def finish_and_fail() -> None:
        with outbox.transaction():
            outbox.finish((1, 1))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        finish_and_fail()
    assert outbox.pending() == [request(1)]
    assert (len(outbox), outbox.payload_bytes) == (1, 100)


def test_the_same_request_twice_is_a_mistake_that_changes_nothing(tmp_path: Path) -> None:
    outbox = outbox_at(tmp_path / "o.sqlite")
    outbox.put(request(1), "t", PAYLOAD)
    with pytest.raises(sqlite3.IntegrityError):
        outbox.put(request(1), "t", PAYLOAD)
    assert len(outbox) == 1


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/support")
from device.outbox import Outbox
from support_device import PAYLOAD, pending_request
outbox = Outbox(Path(sys.argv[1]), max_bytes=10**9, max_requests=10**6)
print(outbox.boot, flush=True)
sequence = 0
while True:
    outbox.put(pending_request(sequence, outbox.boot), "t", PAYLOAD)
    print(sequence, flush=True)
    sequence += 1
"""


def test_killed_while_writing_everything_that_was_confirmed_is_there(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    confirmed = set()
    for boot in (1, 2, 3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert int(child.stdout.readline()) == boot
        for _ in range(25 * boot):
            confirmed.add((boot, int(child.stdout.readline())))
        child.send_signal(signal.SIGKILL)
        confirmed |= {(boot, int(line)) for line in child.stdout if line.endswith("\n")}
        child.wait()
        child.stdout.close()
    outbox = outbox_at(path, max_bytes=10**9, max_requests=10**6)
    assert outbox.boot == 4
    found = {pending.key for pending in outbox.pending()}
    assert confirmed <= found
    # at most the one request of each boot whose confirmation the kill cut off
    assert len(found - confirmed) <= 3


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    outbox = outbox_at(tmp_path / "o.sqlite")
    with pytest.raises(ConfigurationError, match="another process"):
        outbox_at(tmp_path / "o.sqlite")
    outbox.close()
    assert outbox_at(tmp_path / "o.sqlite").boot == 2


@pytest.mark.parametrize("damage", ["text", "middle"])
def test_a_damaged_database_is_set_aside_and_boot_numbers_are_not_used_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "o.sqlite"
    outbox = outbox_at(path)
    for sequence in range(80):
        outbox.put(request(sequence), "t", PAYLOAD)
    outbox.close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"this was never a database, whatever its name says" * 100)
    else:
        content[4096 : len(content)] = bytes([0xA5]) * (len(content) - 4096)
    path.write_bytes(content)
    outbox = outbox_at(path)
    assert outbox.boot > 1000
    assert len(outbox) == 0
    [aside] = tmp_path.glob("o.sqlite.damaged-*")
    assert aside.read_bytes() == bytes(content)


def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    outbox_at(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(ConfigurationError, match="format 9"):
        outbox_at(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        outbox_at(tmp_path / "file" / "o.sqlite")
