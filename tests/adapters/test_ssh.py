"""Another machine by SSH: who is let in and who is not, what is told apart, and what a lost connection leaves behind."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.adapters.hosts import folders
from greenroom.adapters.hosts.fenced import Write, put
from greenroom.adapters.hosts.ssh import SshHost
from greenroom.adapters.journals.host import HostJournal
from greenroom.domain.records import Started
from greenroom.errors import JournalUnusable, Permanent, PortError, Temporary, Uncertain
from greenroom.ports import Address
from greenroom.testing.contracts.host import echo, reached, until
from tests.rigs.sshd import Sshd, agent, apart, cable, make_key, public, serving

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("ssh")]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`key` is let in everywhere, `other` is not."""
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder / "key")
    make_key(folder / "other")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd"), "127.0.0.34") as server:
        server.let_in(keys / "key")
        yield server


@pytest.fixture
def known(tmp_path: Path, server: Sshd) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text(server.known())
    return path


@pytest.fixture
def host(server: Sshd, keys: Path, known: Path) -> Iterator[SshHost]:
    with closed(SshHost("app1", server.settings(keys / "key", known))) as host:
        yield host


@contextmanager
def closed(host: SshHost) -> Iterator[SshHost]:
    try:
        yield host
    finally:
        host.close()


def refusal(host: SshHost, kind: type[PortError]) -> str:
    """Why nothing can be done there, and the way out; which is never to look away."""
    with closed(host), pytest.raises(kind) as error:
        host.run(["true"])
    text = f"{error.value.message} | {error.value.hint}"
    assert error.value.hint
    assert "StrictHostKeyChecking" not in text
    return text


def test_everything_goes_over_one_connection(server: Sshd, host: SshHost, tmp_path: Path) -> None:
    before = server.connections()
    with echo("tcp", tmp_path) as address:
        for _ in range(10):
            assert host.run(["true"]).code == 0
            with host.connect(address) as link:
                link.sendall(b"hi")
            with reached(host.nearby(address)) as link:
                link.sendall(b"hi")
    assert server.connections() == before + 1


def test_an_unknown_host_key_is_refused_and_not_learnt(server: Sshd, keys: Path, known: Path) -> None:
    known.write_text("")
    said = refusal(SshHost("app1", server.settings(keys / "key", known)), Permanent)
    assert "app1" in said
    assert "host key is not known" in said
    assert str(known) in said
    shown = subprocess.run(["ssh-keygen", "-lf", server.folder / "host_key.pub"], capture_output=True, text=True)
    assert shown.stdout.split()[1] in said
    assert known.read_text() == ""


def test_another_host_key_is_refused_with_the_line_that_it_contradicts(server: Sshd, keys: Path, known: Path) -> None:
    name, kind, _ = server.known().split()
    known.write_text(f"# ours\n{name} {kind} {public(keys / 'other').split()[1]}\n")
    before = server.log().count("Accepted")
    said = refusal(SshHost("app1", server.settings(keys / "key", known)), Permanent)
    assert "not the known one" in said
    assert f"line 2 of {known}" in said
    assert server.log().count("Accepted") == before


def test_a_key_that_is_not_let_in_is_named(server: Sshd, keys: Path, known: Path) -> None:
    said = refusal(SshHost("app1", server.settings(keys / "other", known)), Permanent)
    assert f"does not let `{getpass.getuser()}`" in said
    assert str(keys / "other") in said
    assert "authorized_keys" in said


def test_a_key_that_cannot_be_used_is_told_apart(server: Sshd, tmp_path: Path, known: Path) -> None:
    said = refusal(SshHost("app1", server.settings(tmp_path / "missing", known)), Permanent)
    assert f"there is no {tmp_path / 'missing'}" in said
    said = refusal(SshHost("app1", server.settings(make_key(tmp_path / "key"), tmp_path / "unknown")), Permanent)
    assert "`known_hosts:`" in said
    locked = make_key(tmp_path / "locked", "a passphrase")
    for key in (tmp_path / "key", locked):
        server.let_in(key)
    (tmp_path / "key").chmod(0o644)
    assert "chmod 600" in refusal(SshHost("app1", server.settings(tmp_path / "key", known)), Permanent)
    assert "ssh-add" in refusal(SshHost("app1", server.settings(locked, known)), Permanent)
    said = refusal(SshHost("app1", server.settings(locked, known), program=["no-ssh-here"]), Permanent)
    assert "install" in said


def test_a_machine_that_is_down_may_be_up_later(server: Sshd, keys: Path, known: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "down", "127.0.0.35") as down:
        settings = down.settings(keys / "key", known)
    said = refusal(SshHost("app1", settings), Temporary)
    assert "Connection refused" in said


def test_a_machine_that_says_nothing_is_asked_once_by_all_and_not_waited_for(keys: Path, known: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.36", 0))
        silent.listen(50)
        settings = Sshd(Path(), "127.0.0.36", port=silent.getsockname()[1]).settings(keys / "key", known)
        host, errors = SshHost("app1", settings), []

        def ask() -> None:
            with pytest.raises(Temporary, match="timed out") as error:
                host.run(["true"])
            errors.append(error.value)

        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(errors) == 5
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_agents_keys_are_used_and_the_agent_is_not_lent(
    server: Sshd, keys: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lending = tmp_path / "config"
    lending.write_text("Host *\n  ForwardAgent yes\n  IdentityFile none\n")
    with agent(keys / "other", keys / "key") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        with closed(SshHost("app1", server.settings(None, known), program=["ssh", "-F", str(lending)])) as host:
            assert host.run(["sh", "-c", "echo ${SSH_AUTH_SOCK:-none}"]).out == b"none\n"
        said = refusal(SshHost("app1", server.settings(keys / "other", known)), Permanent)
        assert str(keys / "other") in said, "where a key is named, no other is offered"


def test_the_users_configuration_counts_but_for_what_is_dangerous(
    server: Sshd, keys: Path, known: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host shop\n  HostName {server.address}\n  Port {server.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {keys / 'key'}\n  UserKnownHostsFile {known}\n"
        "Host *\n  StrictHostKeyChecking no\n  ControlMaster auto\n  ControlPath /nowhere/%C\n  RequestTTY force\n"
        f"  RemoteCommand echo hijacked\n  LocalForward {tmp_path / 'forward'} 127.0.0.1:9\n  LocalCommand touch "
        f"{tmp_path / 'local'}\n  PermitLocalCommand yes\n  ForwardX11 yes\n  BatchMode no\n"
    )
    settings = server.settings(None, known).model_copy(update={"ssh": "shop", "known_hosts": None})
    program = ["ssh", "-F", str(config)]
    with closed(SshHost("app1", settings, program=program)) as host:
        assert host.run(["echo", "mine"]).out == b"mine\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "known_hosts"]
    known.write_text("")
    assert "not known" in refusal(SshHost("app1", settings, program=program), Permanent)
    config.write_text("Nonsense yes\n")
    assert "configuration" in refusal(SshHost("app1", settings, program=program), Permanent)


def test_a_jump_host_is_gone_through_and_believed_no_more_than_others(
    server: Sshd, keys: Path, known: Path, tmp_path: Path
) -> None:
    user = getpass.getuser()
    with serving(tmp_path / "jump", "127.0.0.37") as jump:
        jump.let_in(keys / "key")
        way = f"{user}@{jump.address}:{jump.port}"
        known.write_text(server.known() + jump.known())
        with closed(SshHost("app1", server.settings(keys / "key", known, jump=way))) as host:
            assert host.run(["true"]).code == 0
            assert jump.connections() == 1
            with pytest.raises(ConnectionRefusedError):
                host.connect(("127.0.0.1", 1))
        known.write_text(server.known())
        said = refusal(SshHost("app1", server.settings(keys / "key", known, jump=way)), Permanent)
        assert f"[{jump.address}]:{jump.port}" in said
        known.write_text(jump.known())
        said = refusal(SshHost("app1", server.settings(keys / "key", known, jump=way)), Permanent)
        assert f"[{server.address}]:{server.port}" in said
        (jump.folder / "authorized_keys").write_text("")
        known.write_text(server.known() + jump.known())
        said = refusal(SshHost("app1", server.settings(keys / "key", known, jump=way)), Permanent)
        assert f"`{user}` at {jump.address}:{jump.port}" in said
        jump.let_in(keys / "key", "no-port-forwarding")
        said = refusal(SshHost("app1", server.settings(keys / "key", known, jump=way)), Permanent)
        assert "jump host forwards no connections" in said
    said = refusal(SshHost("app1", server.settings(keys / "key", known, jump=way)), Temporary)
    assert "refused" in said


def test_a_stream_that_nobody_takes_in_time_costs_the_others_nothing(server: Sshd, host: SshHost) -> None:
    before = server.connections()
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.suppress(TimeoutError):
            while True:  # until its queue is full: from then on nobody is answered
                waiting.enter_context(socket.create_connection(full.getsockname(), 0.1))
        with pytest.raises(TimeoutError):
            host.connect(full.getsockname(), timeout=0.2)
        assert host.run(["echo", "still"]).out == b"still\n"
    assert server.connections() == before + 1


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_where_streams_are_forbidden_it_is_said_so(
    server: Sshd, keys: Path, known: Path, tmp_path: Path, kind: str
) -> None:
    key = make_key(tmp_path / "key")
    server.let_in(key, "no-port-forwarding")
    with closed(SshHost("app1", server.settings(key, known))) as host, echo(kind, short(tmp_path)) as address:
        assert host.run(["true"]).code == 0
        with pytest.raises(Permanent, match="forwards no connections") as error:
            host.connect(address)
        assert "AllowTcpForwarding" in error.value.hint


def short(path: Path) -> Path:
    """The same folder by a path that is short enough for a socket."""
    link = Path(f"/tmp/ssh-{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link


@pytest.mark.parametrize(
    "command", ["echo This account is not available; exit 1", "echo Welcome; eval $SSH_ORIGINAL_COMMAND"]
)
def test_a_shell_that_does_not_simply_run_commands_is_told_at_once(
    server: Sshd, tmp_path: Path, known: Path, command: str
) -> None:
    key = make_key(tmp_path / "key")
    server.let_in(key, f'command="{command}"')
    said = refusal(SshHost("app1", server.settings(key, known)), Permanent)
    assert command.split()[1].rstrip(";") in said
    assert "login shell" in said


def test_a_connection_lost_while_a_command_ran_leaves_it_uncertain(server: Sshd, host: SshHost, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def cut() -> None:
        until(begun.exists)
        server.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(Uncertain, match="was lost while sh ran"):
        host.run(["sh", "-c", f"touch '{begun}'; sleep 600"], timeout=60)
    thread.join(30)
    assert host.run(["echo", "again"]).out == b"again\n"


def test_what_was_brought_near_comes_back_with_the_connection(server: Sshd, host: SshHost, tmp_path: Path) -> None:
    with echo("unix", short(tmp_path)) as one, echo("tcp", tmp_path) as other:
        near: list[Address] = [host.nearby(one), host.nearby(other)]
        server.cut()
        until(lambda: not answers(near[0]))
        assert host.run(["true"]).code == 0
        assert [host.nearby(one), host.nearby(other)] == near
        assert all(answers(address) for address in near)


def answers(address: Address) -> bool:
    try:
        with reached(address) as link:
            link.sendall(b"hi")
            return link.recv(2) == b"hi"
    except OSError:
        return False


def test_a_cable_that_is_pulled_is_noticed_within_seconds(keys: Path, tmp_path: Path) -> None:
    """Packets are dropped, in a network of its own: nobody says that the connection is gone."""
    with (
        apart(34) as (name, address),
        serving(tmp_path / "apart", address, prefix=["ip", "netns", "exec", name]) as server,
    ):
        server.let_in(keys / "key")
        (tmp_path / "known").write_text(server.known())
        with closed(SshHost("app1", server.settings(keys / "key", tmp_path / "known"))) as host:
            assert host.run(["true"]).code == 0
            begun = tmp_path / "begun"

            def pull() -> None:
                until(begun.exists)
                cable(34, "down")

            thread = threading.Thread(target=pull)
            thread.start()
            with pytest.raises(Uncertain, match="not responding"):
                host.run(["sh", "-c", f"touch '{begun}'; sleep 600"], timeout=60)
            thread.join(30)
            with pytest.raises(Temporary, match="cannot be reached"):
                host.run(["true"])
            cable(34, "up")
            assert host.run(["echo", "again"]).out == b"again\n"


HELD = """
import sys
from greenroom.adapters.hosts.settings import HostSettings
from greenroom.adapters.hosts.ssh import SshHost
host = SshHost("app1", HostSettings.model_validate_json(sys.argv[1]))
print(host.run(["echo", "ready"]).out.decode(), end="", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, None], ids=["killed", "at its end"])
def test_a_connection_ends_with_its_process(keys: Path, tmp_path: Path, sign: signal.Signals | None) -> None:
    with serving(tmp_path / "sshd", "127.0.0.38") as server:
        server.let_in(keys / "key")
        (tmp_path / "known").write_text(server.known())
        settings = server.settings(keys / "key", tmp_path / "known").model_dump_json()
        command = [sys.executable, "-c", HELD, settings]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert server.sessions()
            if sign is not None:
                process.send_signal(sign)
            process.communicate("")
        until(lambda: not server.sessions())


def test_its_sockets_are_private_and_go_with_it(host: SshHost, tmp_path: Path) -> None:
    with echo("unix", short(tmp_path)) as address:
        near = host.nearby(address)
    assert isinstance(near, str)
    folder = Path(near).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    host.close()
    assert not folder.exists()
    assert host.run(["echo", "again"]).out == b"again\n"


def test_sockets_of_a_process_that_was_killed_go_with_the_next_one() -> None:
    ended = Path(tempfile.mkdtemp(prefix=f"greenroom-ssh-{os.geteuid()}-", dir="/tmp"))
    (ended / "held").touch()
    (ended / "m").touch()
    os.utime(ended, (0, 0))
    held, remove = folders.make()
    os.utime(held, (0, 0))
    other, remove_other = folders.make()
    assert not ended.exists()
    assert Path(held).exists()
    remove()
    remove_other()
    assert not Path(held).exists()
    assert not Path(other).exists()


def test_ft_16_a_full_disk_on_the_host_is_called_so(keys: Path, tmp_path: Path) -> None:
    """Its disk has one megabyte: a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    small = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"', str(disk)]
    if not shutil.which("unshare") or subprocess.run([*small, "true"], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    with serving(tmp_path / "sshd", "127.0.0.39", prefix=small) as server:
        server.let_in(keys / "key")
        (tmp_path / "known").write_text(server.known())
        with closed(SshHost("app1", server.settings(keys / "key", tmp_path / "known"))) as host:
            journal = HostJournal(host, f"{disk}/journal", service="shop")
            put(host, f"{disk}/router", 1, Write("told", b"old"))
            with pytest.raises(Temporary, match=r"app1.*No space left"):
                put(host, f"{disk}/router", 1, Write("told", b"x" * 2_000_000))
            assert host.read(f"{disk}/router/told") == b"old"
            with pytest.raises(JournalUnusable, match="disk is full"):
                journal.append([Started("r-1", "x" * 2_000_000, "k")], expected=0)
            assert journal.append([Started("r-1", "x", "k")], expected=0)[0].seq == 1
