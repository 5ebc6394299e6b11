"""Child processes of the demonstration, misbehaving ones too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support_broker import wait_until

from specnet.demo import children
from specnet.demo.children import Child, ChildError

ROOT = Path(__file__).parents[3]
FOREVER = "import signal; print('{\"ready\": 1}', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a child that runs the given text as a module."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start_child(text: str) -> Child:
        (tmp_path / "childs_program.py").write_text(text)
        return Child("probe", ["childs_program"], tmp_path)

    return start_child


def test_records_come_in_order_and_none_at_the_end(start: Start) -> None:
    with start("for i in range(3): print('{\"n\": %d}' % i)") as child:
        assert [child.next_record(10) for _ in range(4)] == [{"n": 0}, {"n": 1}, {"n": 2}, None]
        assert child.wait(10) == 0


def test_what_is_no_record_is_garbage_and_not_the_end(start: Start) -> None:
    lines = ["no json", "null", "5", "[]", '{"n": 1}']
    with start(f"print({chr(10).join(lines)!r})") as child:
        assert [child.next_record(10) for _ in lines] == [{"type": "garbage"}] * 4 + [{"n": 1}]
        assert child.next_record(10) is None


def test_expect_skips_to_the_key(start: Start) -> None:
    with start("print('{\"a\": 1}'); print('5'); print('{\"b\": 2}')") as child:
        assert child.expect("b", 10) == {"b": 2}


def test_the_error_of_a_child_that_ends_early_has_its_code_and_its_log(start: Start) -> None:
    with start("import sys; sys.exit('no such port')") as child:
        with pytest.raises(ChildError, match=r"(?s)probe ended with code 1; its log .*no such port"):
            child.expect("port", 10)
        assert "no such port" in child.log_path.read_text()


def test_silence_is_an_error(start: Start) -> None:
    with start(FOREVER) as child:
        child.expect("ready", 10)
        with pytest.raises(ChildError, match=r"probe has not said anything for 0\.05 s; its log .* is empty"):
            child.next_record(0.05)
        with pytest.raises(ChildError, match=r"probe still runs after 0\.05 s"):
            child.wait(0.05)


@pytest.mark.parametrize(
    ("program", "code"), [(FOREVER, -signal.SIGTERM), (STUBBORN, -signal.SIGKILL)], ids=["tame", "stubborn"]
)
def test_it_is_ended_whatever_it_does(start: Start, monkeypatch: pytest.MonkeyPatch, program: str, code: int) -> None:
    if program is STUBBORN:
        monkeypatch.setattr(children, "STOP_TIMEOUT_S", 0.2)
    child = start(program)
    child.expect("ready", 10)
    child.stop()
    assert child.wait(0) == code
    assert not Path(f"/proc/{child.pid}").exists()
    child.stop()  # harmless


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux")
def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "childs_program.py").write_text(STUBBORN)
    program = f"""
import pathlib, sys
from specnet.demo.children import Child
child = Child("probe", ["childs_program"], pathlib.Path({str(tmp_path)!r}))
child.expect("ready", 30)
print(child.pid, flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
    wait_until(lambda: not running(pid), "the child goes with its parent")


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # nobody may be there to collect an orphan in a container
    return state not in ("Z", "X")
