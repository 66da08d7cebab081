"""A column gets another name while users write: expand, backfill, a way back, the switch, and the end of the old name."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenroom.demo.stage import SHOP
from greenroom.domain.phases import Phase
from tests.rigs import postgres
from tests.rigs.postgres import Cluster
from tests.system.house import House, lost

pytestmark = pytest.mark.xdist_group("postgres")

MEMBERS = Path(__file__).parents[1] / "apps" / "members.py"
MORE = """
migrations:
  url: "${DATABASE_URL}"
  shadow: "${SHADOW_URL}"
  soft_drop: 2s
  evidence_for: 1s
  tries: 4
"""
TABLE = """
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE TABLE members (id bigint PRIMARY KEY, old_preference text NOT NULL DEFAULT 'none', writes bigint NOT NULL DEFAULT 0);
INSERT INTO members (id) SELECT generate_series(0, 499);
CREATE INDEX members_by_preference ON members (old_preference);
"""


class Club(House):
    """The shop with members. `knows`: the name that the next version has for the column."""

    def __init__(self, folder: Path, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        super().__init__(folder, more=MORE)
        (self.shop / "migrations").mkdir()
        shutil.copyfile(SHOP / "shop.py", self.shop / "plain.py")
        shutil.copyfile(MEMBERS, self.shop / "shop.py")

    def write(self, **times: str) -> None:
        super().write(**times)
        text = self.file.read_text().replace("python3 -u shop.py", f"{sys.executable} -u shop.py")
        more = 'DATABASE_URL: "${DATABASE_URL}", PGAPPNAME: "shop {colour} {version}", KIT:'
        self.file.write_text(text.replace("KIT:", more))

    def knows(self, column: str) -> None:
        (self.shop / "column").write_text(column)

    def columns(self) -> set[str]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'members'"
        with self.cluster.connect(self.name) as db:
            return {name for (name,) in db.execute(query).fetchall()}

    def ask(self, query: str) -> int:
        with self.cluster.connect(self.name) as db:
            [(found,)] = db.execute(query).fetchall()
            return int(found)


@pytest.fixture
def club(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Club]:
    with postgres.shared() as cluster:
        name = cluster.database()
        with cluster.connect(name) as db:
            db.execute(TABLE)
        monkeypatch.setenv("DATABASE_URL", cluster.url(name))
        monkeypatch.setenv("SHADOW_URL", cluster.url("postgres"))
        made = Club(tmp_path, cluster, name)
        try:
            yield made
        finally:
            made.end()


def test_a_rename_under_load_with_a_way_back_and_the_end_of_the_old_name(club: Club) -> None:
    club.knows("old_preference")
    club.deployed()
    club.begin()
    club.run("db", "rename", "members.old_preference", "preference").expect(0)
    [folder] = (club.shop / "migrations").iterdir()
    assert {file.name.partition(".")[0] for file in folder.iterdir()} == {"expand", "backfill", "contract"}
    assert "may run" in club.run("db", "plan").expect(0, 8).out
    club.knows("preference")

    club.write(bake="5m")
    back = club.version()
    command = club.start("deploy", back)
    club.until_phase(back, Phase.BAKE)
    club.serves(back)
    club.run("rollback").expect(0)
    command.wait().expect(3)
    assert club.ask("SELECT count(*) FROM members WHERE preference IS DISTINCT FROM old_preference") == 0
    assert club.columns() >= {"old_preference", "preference"}

    club.write(bake="1s")
    version = club.deployed()
    assert club.serves(version)
    asked = club.service().release
    assert asked is not None
    assert asked.pinned is not None
    assert list(asked.pinned) == [folder.name]
    refused = club.run("db", "contract").expect(4)
    assert "is warm on" in refused.err
    status = json.loads(club.run("status", "--json").out)
    assert status["schema"]["rollback_safe_until"] == status["warm"]["until"]
    done = club.run("db", "contract", "--close-window", "--why", "nobody goes back").expect(0, 7)
    club.wait(lambda: club.columns() == {"id", "preference", "writes"}, f"the old name is gone\n{done}")
    club.wait(lambda: (asked := club.service().contract) is not None and not asked.open, "the contract is over")
    club.run("rollback").expect(4)
    club.run("db", "status").expect(0)

    assert club.traffic is not None
    club.traffic.stop()
    assert not club.faults(), lost(club.faults())
    assert club.ask("SELECT sum(writes) FROM members") == len([r for r in club.asked() if r.good])


def migration(club: Club, name: str, expand: str) -> None:
    folder = club.shop / "migrations" / name
    folder.mkdir()
    (folder / "expand.sql").write_text(expand)


def test_what_the_running_version_cannot_live_with_and_what_cannot_be_had_ends_before_any_harm(club: Club) -> None:
    club.knows("old_preference")
    good = club.deployed()
    club.begin()

    migration(club, "0001_gone", "ALTER TABLE members DROP COLUMN old_preference;\n")
    refused = club.run("deploy", club.version()).expect(4)
    assert "migrations/0001_gone/expand.sql:1" in refused.out
    assert "drop-column" in refused.out
    assert f"Version {good} may still use `members.old_preference`" in refused.out
    shutil.rmtree(club.shop / "migrations" / "0001_gone")

    migration(club, "0001_note", "ALTER TABLE members ADD COLUMN note text;\n")
    with club.cluster.connect(club.name) as reader:
        reader.autocommit = False
        reader.execute("SELECT count(*) FROM members WHERE old_preference <> 's3cret'")
        in_the_way = reader.info.backend_pid
        late = club.version()
        command = club.start("deploy", late)
        club.until_phase(late, Phase.EXPAND)
        club.wait(lambda: "0001_note" in _log(club) or "members" in _log(club), "the statement was tried")
        club.kill(club.engine(), *[pid for pid in club.living() if "greenroom.adapters.database" in _words(pid)])
        command.signal(2)
        command.wait().expect(130)
        again = club.run("deploy", late).expect(4)
        assert f"session {in_the_way} " in again.out, again
        assert "s3cret" not in again.out
        reader.rollback()
    club.deployed()
    assert "note" in club.columns()

    club.run("rollback").expect(0)
    club.serves(good)
    assert club.ask("SELECT count(*) FROM greenroom.release WHERE state = 'going_back'") == 1
    assert "note" in club.columns()

    assert club.traffic is not None
    club.traffic.stop()
    assert not club.faults(), lost(club.faults())


def _log(club: Club) -> str:
    return "".join(path.read_text() for path in (club.state / "logs" / "migrations").glob("*.log"))


def _words(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
