"""Another machine, as a `ports.Host`: by the OpenSSH client of this one, with the user's keys, agent and configuration."""

from __future__ import annotations

import errno
import math
import os
import select
import shlex
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from greenroom.adapters.hosts import folders, pump
from greenroom.adapters.hosts.link import Link
from greenroom.adapters.hosts.mux import Gone, Mux, Refused
from greenroom.adapters.hosts.settings import HostSettings, target
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from greenroom.ports import Address, Ran

AT_ONCE = 8
"""Commands at the same time: sshd's own default is ten sessions a connection, and one holds it open."""
_PATIENCE = 1.0
_SCRIPT = 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; timeout -k 1 "$0" "$@"; exit $?'
_FORBIDDEN = "its sshd_config has to say `AllowTcpForwarding yes` and `AllowStreamLocalForwarding yes` for this user"


class SshHost:
    """`ports.Host` by SSH. One TCP connection for everything, made when it is needed and again when it was lost.

    Nothing is ever asked on a terminal, an unknown or wrong host key is refused, the agent is not forwarded. The other
    machine needs sshd, a shell and coreutils. What a signal ended has, as shells say it, 128 plus its number for a code.
    A command that did not end in time is ended there too.
    """

    Settings = HostSettings

    def __init__(
        self, name: str, settings: HostSettings, *, folder: Path = Path(), program: Sequence[str] = ("ssh",)
    ) -> None:
        """`folder`: what relative paths of the settings are relative to."""
        self.name = name
        self._settings, self._program = settings.within(folder), tuple(program)
        self._where = f"{name} ({target(settings.ssh)})"
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._opening = threading.Lock()
        self._failure: tuple[float, PortError] | None = None
        self._folder = ""
        self._link: Link | None = None
        self._near: dict[Address, Address] = {}
        self._end: Callable[[], object] = lambda: None
        self._remove: Callable[[], object] = lambda: None

    def close(self) -> None:
        """End the connection, and all streams and forwards with it. The next call makes a new one."""
        with self._opening:
            self._drop()
            self._remove()
            self._folder = ""
            self._near.clear()

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        if not self._slots.acquire(timeout=timeout):
            raise Temporary(f"{self._where}: {AT_ONCE} commands are running there already", retry_after=0.5)
        try:
            return self._run(command, stdin, timeout)
        finally:
            self._slots.release()

    def read(self, path: str, start: int = 0) -> bytes | None:
        try:
            ran = self.run(["env", "LC_ALL=C", "tail", "-c", f"+{start + 1}", "--", path])
        except Uncertain as error:  # reading changes nothing
            raise Temporary(error.message, hint=error.hint) from None
        said = ran.err.decode("utf-8", "replace").strip()
        if ran.code == 0:
            return ran.out
        if "No such file or directory" in said or "Not a directory" in said:
            return None
        if "Permission denied" in said:
            raise Permanent(f"{path} on {self._where} may not be read by us")
        raise Temporary(f"{path} on {self._where} cannot be read: {said}")

    def connect(self, address: Address, timeout: float = 3.0) -> socket.socket:
        if isinstance(address, str):
            return self._connect_unix(address, timeout)
        mux, link = self._ask(timeout)
        said = link.said()
        ours, theirs = socket.socketpair()
        back, into = os.pipe()
        try:
            mux.stream(address[0], address[1], theirs.fileno(), into)
        except BaseException as error:
            (mux.abandon if isinstance(error, TimeoutError) else mux.close)()
            ours.close()
            theirs.close()
            os.close(back)
            raise self._no_stream(error, link, address, said) from None
        finally:
            os.close(into)
        ours.settimeout(timeout)
        threading.Thread(target=pump.bring, args=(back, theirs, mux), name="greenroom-stream", daemon=True).start()
        return ours

    def nearby(self, address: Address) -> Address:
        asked = time.monotonic()
        with self._opening:
            link = self._opened(asked)
            if address not in self._near:
                self._near[address] = self._forward(link, address)
            return self._near[address]

    def _run(self, command: Sequence[str], stdin: bytes, timeout: float) -> Ran:
        with pump.Pipes() as pipes:
            mux, link = self._begun(command, pipes.theirs(), timeout)
            end = time.monotonic() + timeout
            with mux:
                try:
                    out, err = pipes.exchange(stdin, end)
                    code = mux.ended(end)
                except TimeoutError:
                    raise Uncertain(f"{self._where}: {command[0]} did not end within {timeout:g} s") from None
        if code is None:
            raise self._lost(link, command)
        return Ran(code, out, err)

    def _begun(self, command: Sequence[str], handles: Sequence[int], timeout: float) -> tuple[Mux, Link]:
        text = shlex.join(["sh", "-c", _SCRIPT, str(math.ceil(timeout) + 2), *command])
        patience = time.monotonic() + min(timeout, _PATIENCE)
        while True:
            mux, link = self._ask(timeout)
            try:
                mux.session(text, handles)
                return mux, link
            except Refused as error:  # sshd may not have noticed yet that another session is over
                mux.close()
                if time.monotonic() > patience:
                    raise Temporary(f"{self._where} opens no session: {error}", retry_after=0.5) from None
                time.sleep(0.02)
            except TimeoutError:
                mux.abandon()
                raise Uncertain(f"{self._where}: {command[0]} did not begin within {timeout:g} s") from None
            except Gone:
                mux.close()
                raise self._lost(link, command) from None

    def _lost(self, link: Link, command: Sequence[str]) -> Uncertain:
        return Uncertain(f"the connection to {self._where} was lost while {command[0]} ran: {link.why()}")

    def _connect_unix(self, path: str, timeout: float) -> socket.socket:
        """The forwarded socket takes everybody, so what is behind it is asked for; the answer comes after a refusal."""
        near = self.nearby(path)
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            ours.settimeout(timeout)
            try:
                ours.connect(near)
            except OSError as error:
                raise Temporary(f"the connection to {self._where} was lost: {error.strerror}") from None
            seen = self.run(["sh", "-c", '[ -S "$0" ] || exit 3; [ -w "$0" ] || exit 4', path], timeout=timeout)
            if seen.code == 4:
                raise PermissionError(errno.EACCES, f"{self._where}: we may not use it", path)
            if seen.code != 0 or _closed(ours):
                if seen.code == 0:
                    self._may_forward(timeout)
                raise ConnectionRefusedError(
                    errno.ECONNREFUSED, f"{self._where}: nothing takes connections there", path
                )
        except BaseException:
            ours.close()
            raise
        return ours

    def _may_forward(self, timeout: float) -> None:
        """`Permanent` if not: for sockets, sshd's answer is the same as if nobody listened; for addresses it is not."""
        with suppress(ConnectionRefusedError):
            self.connect(("127.0.0.1", 1), timeout).close()

    def _no_stream(self, error: BaseException, link: Link, address: Address, said: int) -> BaseException:
        if isinstance(error, Refused):
            if link.forbidden(said):
                return Permanent(f"{self._where} forwards no connections", hint=_FORBIDDEN)
            text = f"{self._where}: nothing takes connections there"
            return ConnectionRefusedError(errno.ECONNREFUSED, text, f"{address[0]}:{address[1]}")
        if isinstance(error, Gone):
            return Temporary(f"the connection to {self._where} was lost: {link.why()}")
        return error

    # The connection

    def _ask(self, timeout: float) -> tuple[Mux, Link]:
        """A request to the ssh in the background, which is started where there is none."""
        asked = time.monotonic()
        for last in (False, True):
            with self._opening:
                link = self._opened(asked)
            try:
                return Mux(link.control, time.monotonic() + timeout), link
            except Gone as error:  # it ended between the look and the question: nothing happened yet
                if last:
                    raise Temporary(f"the connection to {self._where} is lost at once: {error}") from None
                with self._opening:
                    if self._link is link:
                        self._drop()
        raise AssertionError

    def _opened(self, asked: float) -> Link:
        """To be called under the lock. Who waited while another tried in vain gets that answer, and tries no more."""
        if self._link is not None and self._link.alive:
            return self._link
        if self._failure is not None and asked < self._failure[0]:
            error = self._failure[1]
            raise type(error)(error.message, hint=error.hint)
        self._drop()
        try:
            self._link = self._connected()
        except (Temporary, Permanent) as error:
            self._failure = (time.monotonic(), error)
            raise
        for address, near in self._near.items():
            self._near[address] = self._forward(self._link, address, near)
        return self._link

    def _connected(self) -> Link:
        for what, path in (("key", self._settings.key), ("known_hosts", self._settings.known_hosts)):
            if path is not None and not path.is_file():
                raise Permanent(f"{self._where}: there is no {path}", hint=f"correct `{what}:`, or make the file")
        if not self._folder:
            self._folder, remove = folders.make()
            self._remove = weakref.finalize(self, remove)
        control = f"{self._folder}/m"
        Path(control).unlink(missing_ok=True)
        link = Link(self._where, self._settings, control, self._program)
        self._end = weakref.finalize(self, link.close)
        return link

    def _drop(self) -> None:
        self._link = None
        self._end()

    def _forward(self, link: Link, address: Address, near: Address | None = None) -> Address:
        """At the same place as before the connection was lost, if it can be."""
        trouble = ""
        for _ in range(3):
            if near is None:
                near = f"{self._folder}/{len(self._near)}" if isinstance(address, str) else ("127.0.0.1", _free_port())
            try:
                with Mux(link.control, time.monotonic() + 3.0) as mux:
                    mux.forward(near, address)
                return near
            except (Refused, Gone, TimeoutError) as error:
                trouble, near = str(error), near if isinstance(near, str) else None  # the port was taken meanwhile
        raise Temporary(f"{self._where}: {address} cannot be brought here: {trouble}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _closed(link: socket.socket) -> bool:
    return bool(select.select([link], [], [], 0)[0]) and link.recv(1, socket.MSG_PEEK) == b""
