"""Changes of a folder on a machine: in order, whole, under one lock, and never by who slept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from greenroom.adapters.hosts.fenced import Command, Failed, Folder, Gone, Link, Write, put
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.hosts.ssh import SshHost
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Host, Ran
from greenroom.testing.contracts.host import until
from tests.rigs.sshd import make_key, serving


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    folder = tmp_path_factory.mktemp("sshd")
    with serving(folder / "server", "127.0.0.32") as server:
        key, known = make_key(folder / "key"), folder / "known_hosts"
        server.let_in(key)
        known.write_text(server.known())
        host = SshHost("app1", server.settings(key, known))
        yield host
        host.close()


@pytest.fixture(
    params=["here", pytest.param("ssh", marks=[pytest.mark.real, pytest.mark.xdist_group("fenced")])],
)
def host(request: pytest.FixtureRequest) -> Host:
    return LocalHost() if request.param == "here" else request.getfixturevalue("machine")


class Cut(LocalHost):
    """A machine at which only the first bytes of a script arrive."""

    def __init__(self, share: float) -> None:
        self.share = share

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        return super().run(command, stdin=stdin[: int(len(stdin) * self.share)], timeout=timeout)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_is_done_in_order_and_is_private(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "a b" / "state"
    every = bytes(range(256)) * 40
    ran = put(
        host,
        str(folder),
        7,
        Folder("states"),
        Write("states/1", every),
        Write("empty", b"", 0o644),
        Link("live", "states/1"),
        Command(("cat", "empty", "live")),
        Write(str(tmp_path / "else where"), b"it's $HOME"),
        Gone("empty"),
        Gone("never was"),
    )
    assert ran.out == every
    assert (folder / "live").read_bytes() == every
    assert os.readlink(folder / "live") == "states/1"
    assert (tmp_path / "else where").read_bytes() == b"it's $HOME"
    assert sorted(os.listdir(folder)) == ["epoch", "live", "lock", "states"]
    assert [mode(path) for path in (folder, folder / "states", folder / "states" / "1")] == [0o700, 0o700, 0o600]
    put(host, str(folder), 7, Write("live", b"new"), Link("states/1", "../live"))
    assert (folder / "states" / "1").read_bytes() == b"new"


def test_ft_51_who_slept_through_a_takeover_changes_nothing(host: Host, tmp_path: Path) -> None:
    put(host, str(tmp_path), 5, Write("told", b"old"))
    put(host, str(tmp_path), 6, Write("told", b"new"))
    with pytest.raises(Permanent, match=r"newer lease \(6\) than ours \(5\)"):
        put(host, str(tmp_path), 5, Write("told", b"late"), Command(("touch", "late")))
    put(host, str(tmp_path), 6, Write("more", b""))
    assert (tmp_path / "told").read_bytes() == b"new"
    assert not (tmp_path / "late").exists()


def test_a_fence_that_cannot_be_read_lets_nobody_through(tmp_path: Path) -> None:
    put(LocalHost(), str(tmp_path), 5, Write("told", b"old"))
    for content in ("", "5 \n6", "-1", "x"):
        (tmp_path / "epoch").write_text(content)
        with pytest.raises(Permanent, match="epoch is damaged"):
            put(LocalHost(), str(tmp_path), 9, Write("told", b"new"))
    assert (tmp_path / "told").read_bytes() == b"old"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_script_that_arrived_in_part_does_nothing(tmp_path: Path, share: float) -> None:
    folder = tmp_path / "state"
    with contextlib.suppress(Temporary):
        put(Cut(share), str(folder), 1, Write("told", b"new" * 500), Write("more", b"more"))
    assert not folder.exists()


@pytest.mark.parametrize("code", [1, 75, 76, 77, 127])
def test_a_command_that_fails_ends_it_and_what_is_done_otherwise_is_done(host: Host, tmp_path: Path, code: int) -> None:
    with pytest.raises(Failed, match="bad thing") as error:
        put(
            host,
            str(tmp_path),
            1,
            Write("route", b"new"),
            Command(
                ("sh", "-c", f"echo out; echo reason >&2; echo bad thing >&2; exit {code}"), (Write("route", b"old"),)
            ),
            Write("after", b""),
        )
    assert error.value.ran == Ran(code, b"out\n", b"reason\nbad thing\n\n")
    assert (tmp_path / "route").read_bytes() == b"old"
    assert not (tmp_path / "after").exists()


def test_what_a_command_leaves_running_does_not_hold_the_lock(host: Host, tmp_path: Path) -> None:
    put(host, str(tmp_path), 1, Command(("sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $! >pid")))
    pid = int((tmp_path / "pid").read_text())
    try:
        put(host, str(tmp_path), 1, Write("told", b"new"))
        assert Path(f"/proc/{pid}").exists()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_two_at_once_do_not_mix_and_who_waits_too_long_is_told(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    slow = Command(("sh", "-c", f"touch {begun}; sleep 600"))
    trouble: list[Exception] = []

    def hold() -> None:
        try:
            put(LocalHost(), str(tmp_path), 1, slow, timeout=4)
        except Exception as error:
            trouble.append(error)

    holder = threading.Thread(target=hold)
    holder.start()
    until(begun.exists)
    with pytest.raises(Temporary, match="somebody else is changing"):
        put(LocalHost(), str(tmp_path), 1, Write("told", b"new"))
    holder.join(30)
    assert len(trouble) == 1
    put(LocalHost(), str(tmp_path), 1, Write("told", b"new"))


def test_a_folder_that_cannot_be_is_said_with_the_way_out(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Permanent, match="cannot be written") as error:
        put(host, str(tmp_path / "file"), 1, Write("told", b"new"))
    assert "install -d" in error.value.hint


FULL = """
from pathlib import Path
import os, sys
from greenroom.adapters.hosts.fenced import Write, put
from greenroom.adapters.hosts.local import LocalHost
from greenroom.errors import Temporary
folder = Path(sys.argv[1])
put(LocalHost(), str(folder), 1, Write("told", b"old"))
try:
    put(LocalHost(), str(folder), 1, Write("first", b"first"), Write("told", b"new" * 1_000_000), Write("after", b""))
except Temporary as error:
    assert "No space left" in error.message and "free some space" in error.hint, error
else:
    raise AssertionError("it was written to a full disk")
assert sorted(os.listdir(folder)) == ["epoch", "first", "lock", "told"], os.listdir(folder)
assert (folder / "told").read_bytes() == b"old"
put(LocalHost(), str(folder), 1, Write("told", b"new"))
print("all well")
"""


@pytest.mark.real
def test_ft_12_ft_16_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """On a disk of one megabyte, in a mount namespace that ends with the process."""
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"', str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    done = subprocess.run([*mount, sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("all well\n", 0), done.stderr
