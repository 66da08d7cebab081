"""A private MariaDB for tests, on a free port of the loopback, with nothing that survives it.

    @pytest.fixture(scope="session")
    def mariadb_server() -> Iterator[mariadb.Server]:
        with mariadb.shared() as made:
            yield made

One for each process of the tests, whoever shares it; its tests carry `pytest.mark.xdist_group("mariadb")`. Each test
gets a database of its own. The server refuses to be root, so as root it runs as the user `mysql`.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest

from greenroom.testing.processes import free_ports

PATIENCE = 60.0
PASSWORD = "s3cret p@ss/word"
_PREFIX = "grmy-"
_SETTINGS = {
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "skip-log-bin": "",
    "skip-name-resolve": "",
    "performance-schema": "OFF",
    "innodb-buffer-pool-size": "24M",
    "innodb-log-file-size": "8M",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-doublewrite": "0",
    "innodb-fast-shutdown": "1",
    "max-connections": "60",
    "aria-pagecache-buffer-size": "1M",
    "key-buffer-size": "1M",
}
_SHARED: list[Any] = []


@contextlib.contextmanager
def shared() -> Iterator[Server]:
    """The server of this process, started for the first who asks and ended after the last. Skips where none can run."""
    if not _SHARED:
        _SHARED[:] = [Server(), 0]
        try:
            _SHARED[0].start()
            _SHARED[0].first()
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


class Server:
    """`url(database)` is for its administrator `ann`, who has a password; over the socket, `root` needs none."""

    def __init__(self, **settings: str) -> None:
        self._program = _found("mariadbd")
        install = _found("mariadb-install-db")
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
        self.folder.chmod(0o755)
        self._held = os.open(self.folder / "held", os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        self._as: list[str] = []
        (self.folder / "tmp").mkdir()
        if os.geteuid() == 0:
            user = pwd.getpwnam("mysql")
            for folder in (self.folder, self.folder / "tmp"):
                os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = ["--reuid=mysql", "--regid=mysql", "--init-groups"]
        self.settings = {**_SETTINGS, **settings}
        [self.port] = free_ports(1)
        self.socket = str(self.folder / "socket")
        self.server: subprocess.Popen[bytes] | None = None
        self._count = 0
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        # Without a file of defaults: what this machine's administrator set up is not part of the tests.
        folders = [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder / 'tmp'}"]
        command = [install, "--no-defaults", *folders, *options, "--innodb-log-file-size=8M"]
        done = subprocess.run(self._command(*command), capture_output=True, timeout=PATIENCE, cwd="/")
        assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    def _command(self, *command: Path | str) -> list[str]:
        """It ends with the tests, however they end."""
        return ["setpriv", *self._as, "--pdeathsig=KILL", *map(str, command)]

    def start(self, **settings: str) -> None:
        given = {**self.settings, **settings, "port": str(self.port), "socket": self.socket}
        given |= {"datadir": str(self.folder / "data"), "tmpdir": str(self.folder / "tmp")}
        given |= {"pid-file": str(self.folder / "pid")}
        options = [f"--{name}={value}" if value else f"--{name}" for name, value in given.items()]
        with (self.folder / "log").open("ab") as log:
            command = self._command(self._program, "--no-defaults", *options)
            self.server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect().close()
                return
            except pymysql.OperationalError:
                assert self.server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.05)

    def first(self) -> None:
        """Once in its life: who may come in by TCP."""
        self.run(f"CREATE USER ann@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'", "GRANT ALL ON *.* TO ann@'127.0.0.1'")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM: as somebody who restarts it; SIGKILL: as a crash."""
        if self.server is not None:
            self.server.send_signal(how)
            self.server.wait(PATIENCE)
            self.server = None

    def end(self) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._held)

    def database(self) -> str:
        """A new one; its name."""
        self._count += 1
        name = f"shop_{self._count}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name}")

    def url(self, database: str, user: str = "ann", password: str = PASSWORD) -> str:
        return f"mysql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        """Round the adapter, by the socket."""
        return pymysql.connect(unix_socket=self.socket, user="root", database=database, autocommit=True)

    def run(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """What the last one answers."""
        with self.connect(database) as db, db.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def sessions(self, database: str) -> list[int]:
        """The ids of whoever is connected by TCP."""
        query = (
            f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database}' AND HOST <> 'localhost' ORDER BY ID"
        )
        return [number for (number,) in self.run(query)]


def _found(program: str) -> str:
    found = shutil.which(
        program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
    )
    if not found:
        pytest.skip("MariaDB is not installed")
    return found


def _sweep() -> None:
    """Folders of tests that were killed; nobody holds them."""
    for folder in Path("/tmp").glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "held").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
