"""A PostgreSQL server of a test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support_broker import missing, wait_until
from support_processes import free_port

SERVER_USER = "postgres"


def postgresql_folder() -> Path | None:
    """Where initdb and postgres are; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").is_file()), None)


class PostgresqlServer:
    """A cluster in a temporary folder that listens on loopback; a context manager that removes it.

    The server refuses to run as root, so it runs as the user of the installed package then.
    """

    def __init__(self) -> None:
        folder = postgresql_folder()
        if folder is None:
            missing("PostgreSQL IS NOT INSTALLED: the sink `postgresql` was not tested")
        self._programs = folder
        self.port = free_port()
        self.dsn = f"postgresql://specnet@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # not below pytest's folder, which the server's user may not enter
        self._folder = Path(tempfile.mkdtemp(prefix="specnet-postgresql-"))
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(SERVER_USER)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        command = ["initdb", "--pgdata", str(self._folder / "data"), "--username", "specnet", "--auth", "trust"]
        subprocess.run(
            [str(self._programs / command[0]), *command[1:], "--encoding", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._as_user,
        )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start (again), and wait until it answers."""
        self._launch()
        wait_until(self._answers, "PostgreSQL answers", timeout=30)

    def kill(self) -> None:
        """SIGKILL the server; its children end when they notice, in the middle of whatever they do."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Result of a query."""
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def execute(self, statement: str) -> None:
        """Run a statement."""
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _launch(self) -> None:
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, **self._as_user)

    def _answers(self) -> bool:
        import psycopg

        if self._process is not None and self._process.poll() is not None:
            self._launch()  # children of the killed server were still there
        try:
            return self.rows("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False
