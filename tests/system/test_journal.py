"""The journal is damaged, of a newer Greenroom, or its disk is full: the traffic flows on, and `status` says which."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.house import House, house, lost


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Its state is on a disk of its own, where it can be: a small one, that a test can fill."""
    folder = tmp_path_factory.mktemp("house")
    disk = folder / "shop" / ".greenroom"
    with house(folder) as made:
        disk.mkdir()
        mounted = _mount(disk)
        try:
            made.deployed()
            made.begin()
            yield made
        finally:
            try:
                made.end()
            finally:
                if mounted:
                    subprocess.run(["umount", "-l", str(disk)], check=True)


def _mount(disk: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "greenroom-test", str(disk)]
    return (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def damage(path: Path) -> None:
    for file in path.parent.glob("journal.db*"):
        with file.open("r+b") as opened:
            opened.write(b"this is no journal" * (file.stat().st_size // 18))


def newer(path: Path) -> None:
    """As a Greenroom of next year leaves it."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
        db.execute(
            "INSERT INTO entries SELECT seq + 1, time, at, epoch, release, 'dreamt', ? FROM entries"
            " ORDER BY seq DESC LIMIT 1",
            ('{"kind": "dreamt", "v": 99}',),
        )
    db.close()


@pytest.mark.parametrize(("harm", "said"), [(damage, "damaged"), (newer, "newer")])
def test_a_journal_that_cannot_be_used(small: House, tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    """FT-12 and FT-52: nothing is stopped, little is logged, and with the journal put back everything goes on."""
    active, began = small.service().active, time.monotonic()
    assert active is not None
    path, log = small.state / "journal.db", small.state / "logs" / "engine.log"
    serving, lines = (small.pid("router"), *small.replicas(active.version)), len(log.read_text().splitlines())
    with sqlite3.connect(path) as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "kept.db"),))
    db.close()
    harm(path)
    told = small.wait(lambda: (done := small.run("status")).code == 6 and done, "status says that a person must look")
    assert said in told.out + told.err, str(told)
    small.run("deploy", small.version()).expect(6)
    small.run("status", "--json").expect(6)
    assert (small.pid("router"), *small.replicas(active.version)) == serving
    small.serves(active.version)
    (small.state / "broken").mkdir(exist_ok=True)
    for file in small.state.glob("journal.db*"):
        file.rename(small.state / "broken" / file.name)
    shutil.copy(tmp_path / "kept.db", path)
    small.run("reconcile").expect(0)
    small.until_live(active.version)
    small.deployed()
    assert len(log.read_text().splitlines()) - lines < 40
    assert not lost(small.faults(began), began)


def test_ft_12_ft_16_a_full_disk(small: House) -> None:
    """Said, by every command; nothing is lost; with some space again a deploy works as ever."""
    if not os.path.ismount(small.state):
        pytest.skip("no right to mount a tmpfs")
    active, began = small.service().active, time.monotonic()
    assert active is not None
    filler = small.state / "filler"
    filled = subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True, check=False)
    assert b"No space left" in filled.stderr
    try:
        done = small.run("deploy", small.version())
        assert done.code == 6, str(done)
        assert "full" in done.err or "No space left" in done.err, str(done)
        assert "Traceback" not in done.err
        assert active.version in small.run("status").out
        small.serves(active.version)
    finally:
        filler.unlink()
    small.deployed()
    assert not lost(small.faults(began), began)
