"""Child processes that run one cell after another, so that a method that dies takes nothing else with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from specnet.evaluation.comparison.cell import Cell, Task

Run = Callable[[Task], Cell]


class _Worker:
    """A process and the task that it is at."""

    def __init__(self, context: SpawnContext, run: Run) -> None:
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, run), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        self.connection.send(task)

    def take(self) -> Cell:
        """Wait for the cell; a process that died leaves one that says so."""
        assert self.task is not None
        task, self.task = self.task, None
        try:
            cell: Cell = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            error = f"the process ended with exit code {code}"
            cell = Cell(task.method, task.config.seed, task.config.fold, identity={}, error=error)
            cell.write(task.path)
        return cell

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def run_tasks(
    tasks: Iterable[Task],
    jobs: int,
    run: Run,
    *,
    started: Callable[[Task], None] = lambda task: None,
    done: Callable[[Task, Cell], None] = lambda task, cell: None,
) -> None:
    """Run all tasks, `jobs` at a time, each in a child process.

    Parameters
    ----------
    tasks
        In this order.
    jobs
        Number of processes. They are spawned, not forked: torch's and BLAS's threads do not survive a fork.
    run
        Runs one task in the child and writes its cell; a function of a module.
    started, done
        Called here when a task begins and ends.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque(tasks)
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.task for worker in workers):
            workers = [worker for worker in workers if worker.task or worker.process.is_alive()]
            idle = [worker for worker in workers if not worker.task]
            while waiting and (idle or len(workers) < jobs):
                if not idle:
                    idle.append(_Worker(context, run))
                    workers.append(idle[-1])
                task = waiting.popleft()
                started(task)
                idle.pop().give(task)
            busy: dict[Any, _Worker] = {worker.connection: worker for worker in workers if worker.task}
            for connection in wait(list(busy)):
                worker = busy[connection]
                assert worker.task is not None
                task = worker.task
                done(task, worker.take())
    finally:
        for worker in workers:
            worker.stop()


def _serve(connection: Connection, run: Run) -> None:
    """Run tasks until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its children
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionError):
            return
        connection.send(run(task))


def _leave_with_parent() -> None:
    """Leave when the parent is gone, also in the middle of a training: the next command may be at the same cell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
