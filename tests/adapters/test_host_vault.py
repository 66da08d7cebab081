"""Secrets on a host are kept whole, for their owner only, and seen in no process list and no error."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.vault import FileVault, HostVault
from greenroom.errors import Permanent, PortError
from greenroom.ports import Ran

SECRETS = {"DATABASE_URL": "postgres://shop:hunter2@db", "EMPTY": "", "ODD": "ü \"\n$'`id`"}


class Watched(LocalHost):
    """Keeps what a process list of that machine could show."""

    def __init__(self) -> None:
        self.shown = ""

    def run(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Ran:
        self.shown += " ".join(command)
        return super().run(command, stdin=stdin, timeout=timeout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "secrets"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_pinned_is_there_until_it_is_forgotten(folder: Path) -> None:
    host = Watched()
    vault = HostVault(host, str(folder))
    assert vault.every() == []
    vault.pin("r-0001", SECRETS)
    vault.pin("r-0002", {})
    assert HostVault(host, str(folder)).values("r-0001") == FileVault(folder).values("r-0001") == SECRETS
    assert vault.values("r-0002") == {}
    (folder / "r-0003.json").write_text("[")
    assert vault.every() == [SECRETS, {}]
    vault.pin("r-0001", {"A": "new"})
    assert vault.values("r-0001") == {"A": "new"}
    (folder / "r-0001.json.new").write_text('{"A"')  # a pin was killed
    vault.forget("r-0001")
    vault.forget("r-0001")
    with pytest.raises(Permanent, match=r"r-0001 are gone") as error:
        vault.values("r-0001")
    assert "anew" in error.value.hint
    assert sorted(os.listdir(folder)) == ["lock", "r-0002.json", "r-0003.json"]
    assert "hunter2" not in host.shown


def test_only_the_owner_can_read_them_whatever_the_umask(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    umask = os.umask(0)
    try:
        HostVault(LocalHost(), str(folder)).pin("r-0001", SECRETS)
    finally:
        os.umask(umask)
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert mode(folder) == 0o700


@pytest.mark.parametrize("content", [b"", b'{"A": "hunter2', b'["hunter2"]', b'{"A": {"hunter2": 1}}', b"\xffhunter2"])
def test_damage_is_said_without_a_value(folder: Path, content: bytes) -> None:
    vault = HostVault(LocalHost(), str(folder))
    vault.pin("r-0001", SECRETS)
    (folder / "r-0001.json").write_bytes(content)
    with pytest.raises(Permanent, match="damaged") as error:
        vault.values("r-0001")
    assert "hunter2" not in f"{error.value!r} {error.value.hint} {error.value.__cause__!r}"


def test_a_folder_that_cannot_be_is_a_port_error_without_a_value(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    vault = HostVault(LocalHost(), str(folder))
    for act in (lambda: vault.pin("r-1", SECRETS), lambda: vault.values("r-1"), lambda: vault.forget("r-1")):
        with pytest.raises(PortError) as error:
            act()
        assert "hunter2" not in f"{error.value!r} {error.value.hint}"


@pytest.mark.parametrize("release", ["", ".", "..", "../r-1", "a/b", ".hidden", "r*", "r\0"])
def test_a_release_is_a_name_and_not_a_path(folder: Path, release: str) -> None:
    vault = HostVault(LocalHost(), str(folder))
    for act in (lambda: vault.pin(release, {}), lambda: vault.values(release), lambda: vault.forget(release)):
        with pytest.raises(Permanent, match="cannot be the name"):
            act()
    assert not folder.exists()
