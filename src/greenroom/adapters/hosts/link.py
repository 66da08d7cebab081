"""The one connection to a host: an ssh in the background that all commands, streams and forwards go through."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from greenroom.adapters.hosts.complaints import telling, translate
from greenroom.adapters.hosts.settings import HostSettings, target
from greenroom.errors import Permanent, Temporary

CONNECT, THROUGH, KEYS = 6, 9, 3
"""Seconds for connection and greeting; the same through a jump host; and what is left for the keys then."""
_ALIVE, _MISSED = 2, 2
"""Seconds of silence after which it is asked for a sign of life; unanswered ones that are its end."""

_ALWAYS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "AddKeysToAgent": "no",
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    "ConnectTimeout": str(CONNECT),
    "ConnectionAttempts": "1",
    "ServerAliveInterval": str(_ALIVE),
    "ServerAliveCountMax": str(_MISSED),
    "LogLevel": "DEBUG1",
}
"""What no configuration of the user's may change: nothing is asked, no other machine is believed, nothing is lent out."""
_ROUTE = {"ControlMaster": "no", "ControlPath": "none"}
_LINK = {
    "ControlMaster": "yes",
    "ControlPersist": "no",
    "RemoteCommand": "none",
    "EscapeChar": "none",
    "StreamLocalBindUnlink": "yes",
    "StreamLocalBindMask": "0177",
    "GatewayPorts": "no",
}


def words(settings: HostSettings, control: str, program: Sequence[str] = ("ssh",)) -> list[str]:
    """The command of the connection, without what it runs there."""
    own = _options(settings, _ALWAYS | _LINK | {"ControlPath": _escaped(control)})
    if settings.jump is not None:
        # Not ssh's own -J: none of these options would hold for the jump host.
        through = shlex.join([*program, "-T", *_options(settings, _ALWAYS | _ROUTE)]).replace("%", "%%")
        jump = target(settings.jump)
        own = ["-o", f"ConnectTimeout={THROUGH}", *own]  # of two values the first counts
        own += ["-o", f"ProxyCommand={through} -W [%h]:%p {shlex.join(jump.options())}"]
    return [*program, "-T", *own, *target(settings.ssh).options()]


def _options(settings: HostSettings, options: dict[str, str]) -> list[str]:
    chosen = dict(options)
    if settings.key is not None:
        chosen |= {"IdentityFile": _file(settings.key), "IdentitiesOnly": "yes"}
    if settings.known_hosts is not None:
        chosen |= {"UserKnownHostsFile": _file(settings.known_hosts), "GlobalKnownHostsFile": "none"}
    return [word for name, value in chosen.items() for word in ("-o", f"{name}={value}")]


def _file(path: Path) -> str:
    return f'"{_escaped(str(path))}"'


def _escaped(path: str) -> str:
    return path.replace("%", "%%")


class Link:
    """One running ssh. It ends when it is closed, when this process ends, and when the host no longer answers."""

    def __init__(self, where: str, settings: HostSettings, control: str, program: Sequence[str]) -> None:
        """Returns when commands can be run. Raises `Temporary` or `Permanent`."""
        self.control, self._where, self._settings = control, where, settings
        self._said: deque[str] = deque(maxlen=300)
        self._heard = threading.Condition()
        self._count = 0
        mark = f"greenroom {secrets.token_hex(8)}"
        # `cat` ends with its input, which is in our hands alone: nothing is left here or there if we are killed.
        command = [*words(settings, control, program), f"echo {mark}; exec cat >/dev/null"]
        self._process = _start(command)
        self._listener = threading.Thread(target=self._listen, name="greenroom-ssh", daemon=True)
        self._listener.start()
        try:
            self._await(mark.encode())
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        process = self._process
        process.terminate()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def why(self) -> str:
        """The reason of its end, as ssh gives it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
            self._listener.join(0.5)
        with self._heard:
            return telling([line for line in self._said if not re.search(r"open failed|mux_", line)])

    def said(self) -> int:
        """A mark in what it says, for `forbidden`."""
        return self._count

    def forbidden(self, since: int) -> bool:
        """Whether the stream that was just refused is forbidden there; not only not listened for."""
        with self._heard:
            self._heard.wait_for(lambda: any("open failed" in line for line in self._since(since)), 0.3)
            return any("administratively prohibited" in line for line in self._since(since))

    def _since(self, mark: int) -> list[str]:
        fresh = self._count - mark
        return list(self._said)[-fresh:] if fresh > 0 else []

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                with self._heard:
                    self._said.append(line.decode("utf-8", "replace").rstrip())
                    self._count += 1
                    self._heard.notify_all()

    def _await(self, mark: bytes) -> None:
        within = KEYS + (CONNECT if self._settings.jump is None else THROUGH)
        end, seen = time.monotonic() + within, b""
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        with selectors.DefaultSelector() as ready:
            ready.register(handle, selectors.EVENT_READ)
            while mark + b"\n" not in seen:
                if not ready.select(max(0.0, end - time.monotonic())):
                    raise Temporary(f"{self._where} did not let us in within {within} s")
                if not (piece := os.read(handle, 65536)):
                    raise self._complaint(seen)
                seen += piece
        if not seen.startswith(mark):
            raise _noise(self._where, seen.split(mark)[0])

    def _complaint(self, seen: bytes) -> Exception:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self.close()
        self._listener.join(1)  # all that it said is wanted
        with self._heard:
            said = list(self._said)
        if any(line.startswith(("Authenticated to", "debug1: Entering interactive")) for line in said) and seen:
            return _noise(self._where, seen)
        return translate(said, self._where, str(self._settings.known_hosts or "~/.ssh/known_hosts"))


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    without = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, "SSH_ASKPASS_REQUIRE": "never"},
            start_new_session=True,  # Ctrl-C is for us: the way back needs the connection
        )
    except OSError as error:
        raise Permanent(
            f"the SSH client cannot be started: {command[0]}: {error.strerror}", hint="install OpenSSH's client here"
        ) from None


def _noise(where: str, seen: bytes) -> Permanent:
    return Permanent(
        f"{where}: its shell does not simply run commands; it wrote {seen[:200].decode('utf-8', 'replace').strip()!r}",
        hint="the user needs a login shell like sh or bash whose start-up files print nothing where there is no terminal",
    )
