"""A private PostgreSQL cluster for tests, on a free port of the loopback, with nothing that survives it.

    @pytest.fixture(scope="session")
    def cluster() -> Iterator[Cluster]:
        with postgres.shared() as made:
            yield made

One for each process of the tests, whoever shares it; its tests carry `pytest.mark.xdist_group("postgres")`. Each test
gets a database of its own. The server refuses to be root, so as root it runs as the user `postgres`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from greenroom.testing.processes import free_ports

PATIENCE = 60.0
PASSWORD = "s3cret p@ss/word"
_PREFIX = "grpg-"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "max_connections": "60",
    "max_wal_senders": "0",
    "logging_collector": "off",
}
_SHARED: list[Any] = []


@contextlib.contextmanager
def shared() -> Iterator[Cluster]:
    """The cluster of this process, started for the first who asks and ended after the last. Skips where none can run."""
    if not _SHARED:
        _SHARED[:] = [Cluster(), 0]
        try:
            _SHARED[0].start()
        except BaseException:
            _SHARED[0].end()
            _SHARED.clear()
            raise
    _SHARED[1] += 1
    try:
        yield _SHARED[0]
    finally:
        _SHARED[1] -= 1
        if not _SHARED[1]:
            _SHARED[0].end()
            _SHARED.clear()


class Cluster:
    """`url(database)` is for its superuser; over TCP a password is asked, over the socket none.

    `settings`: instead of the ones above.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = {**_SETTINGS, **(settings or {})}
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if not found:
            pytest.skip("PostgreSQL is not installed")
        _sweep()
        self._programs = found[-1].parent
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
        self._held = os.open(self.folder / "held", os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        self._as: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        [self.port] = free_ports(1)
        self.server: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._make()

    def _make(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--username=ann", "--pwfile", self.folder / "password"]
        access = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        self._run(self._programs / "initdb", "-D", self.folder / "data", *options, *access)

    def _run(self, *command: Path | str) -> None:
        done = subprocess.run(self._command(*command), capture_output=True, timeout=PATIENCE, cwd="/")
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def _command(self, *command: Path | str) -> list[str]:
        """It ends with the tests, however they end."""
        return ["setpriv", *self._as, "--pdeathsig=QUIT", *map(str, command)]

    def start(self) -> None:
        settings = {
            **self._counting(),
            **self._settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        log = (self.folder / "log").open("ab")
        with log:
            command = self._command(self._programs / "postgres", "-D", self.folder / "data", *options)
            self.server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                assert self.server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.05)

    def _counting(self) -> dict[str, str]:
        """Statements are counted in databases that have the extension pg_stat_statements."""
        there = (self._programs.parent / "lib" / "pg_stat_statements.so").exists()
        return {"shared_preload_libraries": "pg_stat_statements"} if there else {}

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: as somebody who restarts it; SIGQUIT: as a crash."""
        if self.server is not None:
            self.server.send_signal(how)
            self.server.wait(PATIENCE)
            self.server = None

    def end(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._held)

    def database(self, options: str = "") -> str:
        """A new one; its name."""
        self._count += 1
        name = f"journal_{self._count}"
        with self.connect("postgres") as db:
            db.execute(f"CREATE DATABASE {name} {options}")
        return name

    def drop(self, name: str) -> None:
        with self.connect("postgres") as db:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str, user: str = "ann", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """Round the adapter, by the socket."""
        return psycopg.connect(host=str(self.folder), port=self.port, user="ann", dbname=database, autocommit=True)

    def sessions(self, database: str) -> list[int]:
        """The server's processes for whoever is connected by TCP."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND client_addr IS NOT NULL ORDER BY pid"
        with self.connect("postgres") as db:
            return [pid for (pid,) in db.execute(query, [database]).fetchall()]


class Standby(Cluster):
    """A copy that follows `primary`, which has `max_wal_senders` and `wal_level: replica` among its settings."""

    def __init__(self, primary: Cluster) -> None:
        self._primary = primary
        super().__init__({"max_wal_senders": "4", "wal_level": "replica"})

    def _make(self) -> None:
        source = ["-h", str(self._primary.folder), "-p", str(self._primary.port), "-U", "ann"]
        options = ["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync"]
        self._run(self._programs / "pg_basebackup", "-D", self.folder / "data", *source, *options)


def _sweep() -> None:
    """Folders of tests that were killed; nobody holds them."""
    for folder in Path("/tmp").glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "held").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
