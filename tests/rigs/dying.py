"""A target of any dialect whose runner dies at a call one likes, as by `kill -9`: what it would have done next is not done.

And the same for real: `Process` is a runner in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greenroom.adapters.database.mysql.target import MysqlSession
from greenroom.adapters.database.sqlite.target import SqliteSession
from greenroom.adapters.database.target import LOCK_TIMEOUT, Session, of

ROOT = Path(__file__).parents[2]
_PROGRAM = """
import json, sys
from greenroom.adapters.database.running import Pace, expand
from greenroom.adapters.database.target import of
from tests.rigs.migrating import migration, order
given = json.load(sys.stdin)
done = expand(of(given["url"]), order(), [migration(expand=given["expand"])], lambda text: print(text, flush=True),
              pace=Pace(tries=given["tries"]))
print("done", done.statements, flush=True)
"""


class Killed(BaseException):
    """As `kill -9`: nothing that Greenroom catches."""


class Dying:
    """`target.Target`. Its runner's sessions die at call `at`, counted over all of them, or at the first one that begins
    with `statement`: before it, or `after` it.
    """

    def __init__(self, url: str, at: int = 0, *, statement: str = "", after: bool = False) -> None:
        self._target = of(url)
        self.dialect, self.place = self._target.dialect, self._target.place
        self.at, self.statement, self.after, self.calls = at, statement, after, 0

    def open(self, purpose: str, *, patience: float = 0.0) -> Session:
        session = self._target.open(purpose, patience=patience)
        return _Mortal(self, session) if purpose.startswith("runner") else session


class _Mortal:
    def __init__(self, owner: Dying, session: Session) -> None:
        self._owner, self._session = owner, session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._at_risk(lambda: self._session.rows(sql, values))

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self._at_risk(lambda: self._session.run(sql, values), sql)

    @contextmanager
    def transaction(self, *, lock_timeout: float = LOCK_TIMEOUT, statement_timeout: float = 0.0) -> Iterator[None]:
        inner = self._session.transaction(lock_timeout=lock_timeout, statement_timeout=statement_timeout)
        self._at_risk(inner.__enter__)
        try:
            yield
        except BaseException as error:
            inner.__exit__(type(error), error, error.__traceback__)
            raise
        self._at_risk(lambda: inner.__exit__(None, None, None))

    def _at_risk(self, act: Callable[[], Any], sql: str = "") -> Any:
        owner = self._owner
        owner.calls += 1
        dies = owner.calls == owner.at or bool(owner.statement) and sql.startswith(owner.statement)
        if dies and not owner.after:
            self._die()
        found = act()
        if dies:
            self._die()
        return found

    def _die(self) -> None:
        session = self._session
        if isinstance(session, MysqlSession):
            assert session._line is not None
            with contextlib.suppress(OSError):
                session._line.shutdown(socket.SHUT_RDWR)
        assert isinstance(session, MysqlSession | SqliteSession)
        session.close()
        raise Killed


class Process:
    """Expands one migration; `said`: what it has told until now."""

    def __init__(self, url: str, expand: str, folder: Path, tries: int = 15) -> None:
        self.log = folder / "runner.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT
            )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": url, "expand": expand, "tries": tries}).encode())
        self._process.stdin.close()

    @property
    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> int:
        return self._process.wait(60)
