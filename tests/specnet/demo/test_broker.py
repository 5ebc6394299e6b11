"""The broker process that demonstration and tests start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support_broker import Broker, wait_until

from specnet.errors import BrokerError

ROOT = Path(__file__).parents[3]


def test_a_restart_keeps_the_port_and_changes_the_process(any_broker: Broker) -> None:
    port, pid = any_broker.port, any_broker.pid
    any_broker.restart()
    assert any_broker.running
    assert any_broker.port == port
    assert any_broker.pid != pid
    any_broker.kill()
    assert not any_broker.running
    with pytest.raises(BrokerError, match="does not run"):
        _ = any_broker.pid
    any_broker.start()
    assert any_broker.port == port


def test_a_stopped_broker_can_still_be_ended(broker: Broker) -> None:
    os.kill(broker.pid, signal.SIGSTOP)
    broker.stop()
    assert not broker.running


def test_a_broker_that_does_not_start_shows_its_log(tmp_path: Path, broker: Broker) -> None:
    with pytest.raises(BrokerError, match=r"(?s)did not answer.*no_such_option"):
        Broker(folder=tmp_path / "b", extra_configuration=["no_such_option true"]).start()


def test_the_temporary_folder_goes(broker: Broker) -> None:
    with Broker() as own:
        folder = own.log_path.parent
        assert own.log_path.exists()
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux")
def test_a_broker_does_not_outlive_its_parent(any_broker: Broker, tmp_path: Path) -> None:
    program = f"""
import pathlib, sys
from specnet.demo.broker import Broker
print(Broker({any_broker.kind!r}, folder=pathlib.Path({str(tmp_path / "child")!r})).start().pid, flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not _alive(pid), "the broker goes with its parent")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # nobody may be there to collect an orphan in a container
    return state not in ("Z", "X")
