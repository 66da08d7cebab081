"""A shop whose column `users.old` may go: the two columns of a rename, which a trigger keeps equal, and their sessions."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from greenroom.adapters.database.contracting import ContractSettings, contract, foresee, hold, restore
from greenroom.adapters.database.ledger import Ledger, Recorded
from greenroom.adapters.database.running import Pace
from greenroom.adapters.database.state import state as of_service
from greenroom.adapters.database.target import Session, Target, of
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Dialect, Migration, Order, SchemaState, Script, Stage, Stand
from tests.rigs.postgres import Cluster

NAME = "0007_new"
EXPAND = """
ALTER TABLE users ADD COLUMN new text;
CREATE FUNCTION zzzz_greenroom_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.old := coalesce(NEW.old, NEW.new);  -- the new version does not know old
    NEW.new := coalesce(NEW.new, NEW.old);
  ELSIF NEW.new IS DISTINCT FROM OLD.new THEN
    NEW.old := NEW.new;
  ELSIF NEW."old" IS DISTINCT FROM OLD.old THEN
    NEW.new := NEW.old;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER zzzz_greenroom_users BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION zzzz_greenroom_users();
"""
CONTRACT = """
ALTER TABLE users DROP COLUMN old;
DROP TRIGGER zzzz_greenroom_users ON users;
DROP FUNCTION zzzz_greenroom_users();
"""
START = """
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, old text NOT NULL);
INSERT INTO users (name, old) SELECT 'u' || i, 'v' || i FROM generate_series(1, 20) i;
"""
ORDER = Order(
    "shop", "r42", "42", "ann", 1, 1000.0, running="42", gone="41", colours={"blue": "", "green": "42"}, baked=True
)
AT_ONCE = ContractSettings(soft_drop=0, evidence=())
"""No soft drop; the order says why there is no evidence."""
LET = {"evidence": "the whole code was read by bob"}


@dataclass
class Shop:
    """`order` is what the next call is made with."""

    cluster: Cluster
    name: str
    target: Target
    order: Order = field(default=ORDER)
    settings: ContractSettings = field(default=AT_ONCE)
    told: list[str] = field(default_factory=list)

    def contract(self, *migrations: Migration, **changes: Any) -> Finding:
        order, pace = replace(self.order, **changes), Pace(tries=2)
        return contract(self.target, order, migrations, self.settings, self.told.append, pace=pace)

    def foreseen(self, artefact: str, overrides: Mapping[str, str]) -> list[str]:
        return foresee(self.target, replace(self.order, artefact=artefact, overrides=overrides), self.settings)

    def hold(self, going_back: bool = True, **changes: Any) -> Finding:
        return hold(self.target, replace(self.order, **changes), going_back)

    def restore(self, name: str = NAME) -> Finding:
        return restore(self.target, self.order, name)

    @contextlib.contextmanager
    def connect(self, role: str = "ann", name: str = "", **options: Any) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(
            host=str(self.cluster.folder),
            port=self.cluster.port,
            user=role,
            dbname=self.name,
            autocommit=True,
            application_name=name,
            **options,
        ) as connection:
            yield connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as db:
            return db.execute(query).fetchall()

    def run(self, *statements: str) -> None:
        with self.connect() as db:
            for sql in statements:
                db.execute(sql)

    @property
    def columns(self) -> set[str]:
        query = (
            "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped"
        )
        return {str(name) for (name,) in self.rows(query)}

    def seen(self) -> SchemaState:
        """As `greenroom db status` has it."""
        session = self.target.open("look")
        try:
            return of_service(session, self.order.service)
        finally:
            session.close()

    @property
    def state(self) -> str:
        return str(self.rows("SELECT state FROM greenroom.release WHERE service = 'shop'")[0][0])

    def stand(self, name: str = NAME) -> str:
        query = f"SELECT state FROM greenroom.migration WHERE stage = 'contract' AND name = '{name}'"
        return str(self.rows(query)[0][0])

    def alone(self) -> None:
        """Sessions that have ended are gone from the server's list."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        end = time.monotonic() + 10
        while self.rows(query) != [(0,)]:
            assert time.monotonic() < end
            time.sleep(0.01)


def migration(contract_sql: str = CONTRACT, name: str = NAME, expand: str = EXPAND) -> Migration:
    scripts = {Stage.EXPAND: Script(f"migrations/{name}/expand.sql", expand)} if expand else {}
    return Migration(name, {**scripts, Stage.CONTRACT: Script(f"migrations/{name}/contract.sql", contract_sql)})


def expanded_in(target: Target, *migrations: Migration, release: str = "r42") -> None:
    """As after the release that brought them: expand done, contract to be done."""
    session = target.open("test")
    try:
        ledger = Ledger(session, "shop")
        ledger.make()
        for one in migrations:
            for stage, script in one.scripts.items():
                stand = Stand.DONE if stage is not Stage.CONTRACT else Stand.PENDING
                row = Recorded(one.name, stage, script.checksum, script.file, script.text, stand, release, "42", "ann")
                ledger.put_migration(row)
    finally:
        session.close()


_EMPTY = (
    "DROP SCHEMA IF EXISTS greenroom CASCADE",
    "DROP SCHEMA IF EXISTS stock CASCADE",
    "DROP SCHEMA public CASCADE",
    "CREATE SCHEMA public",
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
    "SELECT pg_stat_reset()",
)
_DATABASES: dict[Path, str] = {}


def opened(cluster: Cluster, *migrations: Migration, start: Sequence[str] = (START, EXPAND)) -> Shop:
    """In the one database of all these tests, emptied: to make another one takes longer than most of them."""
    name = _DATABASES.get(cluster.folder) or cluster.database()
    shop = Shop(cluster, name, of(cluster.url(name)))
    shop.order = replace(ORDER, overrides=LET)
    if cluster.folder in _DATABASES:
        shop.alone()
        shop.run(*_EMPTY)
    _DATABASES[cluster.folder] = name
    with shop.connect() as db:
        for role in ("shop_blue", "shop_green"):
            db.execute(
                f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$"
            )
        for sql in start:
            db.execute(sql)
        db.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_blue, shop_green")
    expanded_in(shop.target, *(migrations or (migration(),)))
    shop.alone()
    return shop


def written(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


@dataclass
class Countdown:
    """Ends this process, as SIGKILL does, before the write or commit of this number."""

    left: int

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class DeadlySession:
    session: Session
    countdown: Countdown
    dialect: Dialect = field(init=False)
    number: int = field(init=False)

    def __post_init__(self) -> None:
        self.dialect, self.number = self.session.dialect, self.session.number

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.session.rows(sql, values)

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        self.countdown.tick()
        return self.session.run(sql, values)

    @contextlib.contextmanager
    def transaction(self, **limits: float) -> Iterator[None]:
        with self.session.transaction(**limits):
            yield
            self.countdown.tick()

    def close(self) -> None:
        self.session.close()


@dataclass
class Deadly:
    """`target`, until the countdown is over; the test fills it in."""

    countdown: Countdown
    target: Any = None
    dialect: Dialect = Dialect.POSTGRES
    place: str = "here"

    def open(self, purpose: str, *, patience: float = 0.0) -> Session:
        return DeadlySession(self.target.open(purpose, patience=patience), self.countdown)


def killed_by(number: int, act: Callable[[Deadly], object]) -> bool:
    """In a process of its own, which dies before its write or commit of this number. False: it was at its end before."""
    child = os.fork()
    if child == 0:
        try:
            act(Deadly(Countdown(number)))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)
