"""Secrets are kept whole, for their owner only, and named by no error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenroom.adapters.vault import FileVault
from greenroom.errors import Permanent, PortError

SECRETS = {"DATABASE_URL": "postgres://shop:hunter2@db", "EMPTY": "", "ODD": 'ü "\n$'}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "secrets"


def test_what_is_pinned_is_there_until_it_is_forgotten(folder: Path) -> None:
    vault = FileVault(folder)
    vault.pin("r-0001", SECRETS)
    vault.pin("r-0002", {})
    assert FileVault(folder).values("r-0001") == SECRETS
    assert vault.values("r-0002") == {}
    vault.pin("r-0001", {"A": "new"})
    assert vault.values("r-0001") == {"A": "new"}
    vault.forget("r-0001")
    vault.forget("r-0001")
    with pytest.raises(Permanent, match=r"r-0001 are gone") as error:
        vault.values("r-0001")
    assert "anew" in error.value.hint
    assert os.listdir(folder) == ["r-0002.json"]


def test_only_the_owner_can_read_them_whatever_the_umask(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    umask = os.umask(0)
    try:
        FileVault(folder).pin("r-0001", SECRETS)
    finally:
        os.umask(umask)
    assert (mode(folder), mode(folder / "r-0001.json")) == (0o700, 0o600)


def test_what_a_killed_pin_left_goes_with_its_release_only(folder: Path) -> None:
    vault = FileVault(folder)
    for release in ("r-1", "r-10"):
        vault.pin(release, SECRETS)
    left = folder / ".r-1=abc"
    left.write_text('{"A"')
    assert vault.values("r-1") == SECRETS
    vault.forget("r-10")
    assert left.exists()
    vault.forget("r-1")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("content", [b"", b'{"A": "hunter2', b'["hunter2"]', b'{"A": {"hunter2": 1}}', b"\xffhunter2"])
def test_damage_is_said_without_a_value(folder: Path, content: bytes) -> None:
    vault = FileVault(folder)
    vault.pin("r-0001", SECRETS)
    (folder / "r-0001.json").write_bytes(content)
    with pytest.raises(Permanent, match="damaged") as error:
        vault.values("r-0001")
    assert "hunter2" not in f"{error.value!r} {error.value.hint} {error.value.__cause__!r}"


def test_a_folder_that_cannot_be_is_a_port_error(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    vault = FileVault(folder)
    for act in (lambda: vault.pin("r-1", SECRETS), lambda: vault.values("r-1"), lambda: vault.forget("r-1")):
        with pytest.raises(PortError) as error:
            act()
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("release", ["", ".", "..", "../r-1", "a/b", ".hidden", "r*", "r\0"])
def test_a_release_is_a_name_and_not_a_path(folder: Path, release: str) -> None:
    vault = FileVault(folder)
    for act in (lambda: vault.pin(release, {}), lambda: vault.values(release), lambda: vault.forget(release)):
        with pytest.raises(Permanent, match="cannot be the name"):
            act()
    assert not folder.exists()


def test_every_value_can_be_asked_for_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "secrets")
    assert vault.every() == []
    vault.pin("r-1", {"A": "one"})
    vault.pin("r-2", {"A": "two"})
    (tmp_path / "secrets" / "r-3.json").write_text("[")
    assert vault.every() == [{"A": "one"}, {"A": "two"}]
