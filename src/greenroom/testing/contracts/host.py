"""What every host promises, as tests: subclass `HostContract` and give it a `bench`."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import pytest

from greenroom.errors import Permanent, Uncertain
from greenroom.ports import Address, Host


class HostBench(Protocol):
    """What the contract needs beside the port. The machine's files and addresses are those of the tests' machine."""

    def host(self) -> Host: ...

    def folder(self) -> Path:
        """An empty folder there, with a short path."""


class HostContract:
    """A subclass gives a fixture `bench` that returns a `HostBench`."""

    @pytest.fixture
    def bench(self) -> HostBench:
        raise NotImplementedError("a subclass gives the bench")

    def test_a_command_is_a_list_of_words_and_nothing_in_them_counts(self, bench: HostBench) -> None:
        odd = ["", " ", "a b", "$HOME", "`id`", "'", '"', "\\", "*", "!", "~", "é", "a\nb", ";", "--"]
        ran = bench.host().run(["printf", r"%s\0", *odd])
        assert (ran.code, ran.out.decode().split("\0")[:-1], ran.err) == (0, odd, b"")

    def test_input_and_both_outputs_are_bytes(self, bench: HostBench) -> None:
        every = bytes(range(256)) * 3
        ran = bench.host().run(["sh", "-c", "cat; echo no >&2"], stdin=every)
        assert (ran.code, ran.out, ran.err) == (0, every, b"no\n")
        assert bench.host().run(["cat"]).out == b""

    def test_much_goes_in_and_out_at_the_same_time(self, bench: HostBench) -> None:
        data = os.urandom(10 << 20)
        assert bench.host().run(["tee", "/dev/stderr"], stdin=data, timeout=60).out == data

    def test_what_is_not_read_is_no_trouble(self, bench: HostBench) -> None:
        assert bench.host().run(["sh", "-c", "exec <&-; echo ok"], stdin=b"x" * 1_000_000).out == b"ok\n"

    @pytest.mark.parametrize("code", [0, 1, 2, 124, 126, 127, 200, 255])
    def test_every_exit_status_is_the_commands_own(self, bench: HostBench, code: int) -> None:
        assert bench.host().run(["sh", "-c", f"exit {code}"]).code == code

    def test_what_a_signal_ended_is_told(self, bench: HostBench) -> None:
        assert bench.host().run(["sh", "-c", "kill -9 $$"]).code in (-9, 137)

    def test_a_missing_program_is_an_answer(self, bench: HostBench) -> None:
        ran = bench.host().run(["no-such-program-here", "x"])
        assert ran.code == 127
        assert b"no-such-program-here" in ran.err

    def test_programs_of_servers_are_found(self, bench: HostBench) -> None:
        path = bench.host().run(["sh", "-c", "echo $PATH"]).out.decode().strip().split(":")
        assert {"/usr/sbin", "/sbin"} <= set(path)

    def test_a_command_that_does_not_end_is_not_waited_for_and_does_not_go_on(self, bench: HostBench) -> None:
        begun = time.monotonic()
        mark = bench.folder() / "pid"
        with pytest.raises(Uncertain, match="did not end"):
            bench.host().run(["sh", "-c", f"echo $$ >'{mark}'; exec sleep 600"], timeout=0.5)
        assert time.monotonic() - begun < 30
        pid = mark.read_text().strip()
        until(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")

    def test_many_at_once_are_no_trouble(self, bench: HostBench) -> None:
        host, answers = bench.host(), []
        ask = [
            threading.Thread(
                target=lambda n=n: answers.append(host.run(["sh", "-c", f"sleep 0.05; echo {n}"], timeout=60))
            )
            for n in range(20)
        ]
        for thread in ask:
            thread.start()
        for thread in ask:
            thread.join(60)
        assert sorted(int(ran.out) for ran in answers) == list(range(20))

    def test_a_file_is_read_from_anywhere(self, bench: HostBench) -> None:
        host, path = bench.host(), bench.folder() / "a file"
        content = bytes(range(256)) * 1000
        path.write_bytes(content)
        assert host.read(str(path)) == content
        assert host.read(str(path), 255_999) == content[255_999:]
        assert host.read(str(path), 256_000) == host.read(str(path), 300_000) == b""
        assert host.read(str(path.with_name("missing"))) is None
        assert host.read(str(path / "below")) is None

    def test_a_file_that_is_not_for_us_is_called_so(self, bench: HostBench) -> None:
        path = bench.folder() / "closed"
        path.write_text("secret")
        path.chmod(0)
        if os.geteuid() == 0:
            return  # nothing is closed to root
        with pytest.raises(Permanent, match="may not be read"):
            bench.host().read(str(path))

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_a_stream_is_a_socket_with_two_ends(self, bench: HostBench, kind: str) -> None:
        with echo(kind, bench.folder()) as address, bench.host().connect(address) as link:
            link.settimeout(30)
            link.sendall(b"hello\n")
            assert link.recv(5) == b"hello"

            def send() -> None:
                link.sendall(b"x" * 1_000_000)
                link.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            with link.makefile("rb") as rest:
                assert rest.read() == b"\n" + b"x" * 1_000_000 + b"end"
            sender.join(30)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_where_nobody_listens_the_stream_is_refused(self, bench: HostBench, kind: str) -> None:
        with echo(kind, bench.folder()) as address:
            pass
        with pytest.raises(ConnectionRefusedError):
            bench.host().connect(address)
        with pytest.raises(ConnectionRefusedError):
            bench.host().connect(str(bench.folder() / "no-socket"))

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_a_server_that_closes_is_seen_to_close(self, bench: HostBench, kind: str) -> None:
        with echo(kind, bench.folder(), at_once=True) as address, bench.host().connect(address) as link:
            link.settimeout(30)
            assert link.makefile("rb").read() == b"end"

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_a_stream_that_we_close_is_closed_there(self, bench: HostBench, kind: str) -> None:
        gone = threading.Event()
        with echo(kind, bench.folder(), gone=gone) as address:
            bench.host().connect(address).close()
            assert gone.wait(30)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_what_was_sent_before_we_close_arrives(self, bench: HostBench, kind: str) -> None:
        got = bytearray()
        with echo(kind, bench.folder(), got=got) as address:
            with bench.host().connect(address) as link:
                link.settimeout(30)
                link.sendall(b"x" * 300_000)
            until(lambda: len(got) == 300_000)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_the_same_is_near_for_other_clients(self, bench: HostBench, kind: str) -> None:
        host = bench.host()
        with echo(kind, bench.folder()) as address:
            near = host.nearby(address)
            assert host.nearby(address) == near
            for _ in range(2):
                with reached(near) as link:
                    link.sendall(b"hi")
                    link.shutdown(socket.SHUT_WR)
                    assert link.makefile("rb").read() == b"hiend"


def until(true: Callable[[], bool], within: float = 30.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def reached(near: Address) -> socket.socket:
    if isinstance(near, str):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(30)
        link.connect(near)
        return link
    return socket.create_connection(near, 30)


@contextmanager
def echo(
    kind: str,
    folder: Path,
    *,
    at_once: bool = False,
    gone: threading.Event | None = None,
    got: bytearray | None = None,
) -> Iterator[Address]:
    """A server that says everything again, and "end" when nothing more comes (`at_once`: without listening). With `got`
    it says nothing again, and keeps it there.
    """
    server = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    server.bind(str(folder / "socket") if kind == "unix" else ("127.0.0.1", 0))
    server.listen(50)

    def accept() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(link, at_once, gone, got), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    address = server.getsockname()
    try:
        yield address
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def _serve(link: socket.socket, at_once: bool, gone: threading.Event | None, got: bytearray | None) -> None:
    with link, suppress(OSError):
        while not at_once and (piece := link.recv(65536)):
            if got is None:
                link.sendall(piece)
            else:
                got.extend(piece)
        link.sendall(b"end")
        while gone is not None and link.recv(1):
            pass
    if gone is not None:
        gone.set()
