"""This machine, as a `ports.Host`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Sequence

from greenroom.errors import Permanent, Temporary, Uncertain
from greenroom.ports import Address, Ran


class LocalHost:
    """What is done here is done at once and seen at once."""

    name = ""

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,
            )
        except FileNotFoundError:
            return Ran(127, b"", f"{command[0]}: not found".encode())
        except OSError as error:
            return Ran(126, b"", f"{command[0]}: {error.strerror}".encode())
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # somebody of another group may hold its output open
                process.communicate(timeout=1)
            _close(process)
            raise Uncertain(f"{command[0]} did not end within {timeout:g} s") from None
        return Ran(process.returncode, out, err)

    def read(self, path: str, start: int = 0) -> bytes | None:
        try:
            with open(path, "rb") as file:
                file.seek(start)
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise Permanent(f"{path} may not be read by us") from None
        except OSError as error:
            raise Temporary(f"{path} cannot be read: {error.strerror}") from None

    def connect(self, address: Address, timeout: float = 3.0) -> socket.socket:
        if not isinstance(address, str):
            return socket.create_connection(address, timeout)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(timeout)
            link.connect(address)
        except BaseException as error:
            link.close()
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise ConnectionRefusedError(errno.ECONNREFUSED, "nothing is there", address) from None
            raise
        return link

    def nearby(self, address: Address) -> Address:
        return address


def _environment() -> dict[str, str]:
    """Ours, with the folders of servers' programs: not everybody has them in PATH."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
