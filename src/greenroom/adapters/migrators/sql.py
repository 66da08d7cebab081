"""Migrations as files of SQL, the default: `migrations: {folder: migrations, url: "${DATABASE_URL}"}`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from greenroom.adapters.database.settings import SqlSettings
from greenroom.adapters.database.target import dialect_of
from greenroom.adapters.migrators.base import LedgerMigrator, settled
from greenroom.adapters.shell import slug
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Migration, Order, Ruled, Stage
from greenroom.errors import Permanent, Temporary, UsageError
from greenroom.ports import Place

if TYPE_CHECKING:
    from greenroom.adapters.database.files import Found
    from greenroom.adapters.database.job import Work

KEPT = 50
"""Releases whose migrations stay in the state folder."""


class SqlMigrator(LedgerMigrator[SqlSettings]):
    """`ports.Migrator`. What reads SQL or starts jobs is loaded when it is needed: `rollback` must not wait for it."""

    Settings: ClassVar[type[SqlSettings]] = SqlSettings

    def __init__(self, settings: SqlSettings, place: Place) -> None:
        self.settings, self.place = settled(settings, place), place
        self._folder = place.file.parent / settings.folder

    def problems(self) -> list[str]:
        try:
            found = self._read(self._folder)
            return [*found.problems, *self._unfit(found.migrations), *self._unusable()]
        except UsageError as error:  # a library that is missing
            return [f"migrations: {error.message}; {error.hint}"]

    def pin(self, release: str) -> Mapping[str, str]:
        """Of two requests at one instant each keeps its own: which of them was written down, the checksums tell."""
        parent = self.place.state / "migrations" / "kept"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
            try:
                if self._folder.is_dir():
                    shutil.copytree(self._folder, new / "files", symlinks=False)
                else:
                    (new / "files").mkdir()
                os.utime(new / "files")
                pinned = self._sums(new / "files")
                self._keep(new / "files", self._kept(release, pinned), pinned)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            _prune(parent)
        except OSError as error:
            raise Temporary(f"the migrations cannot be kept for release {release}: {error}") from error
        return pinned

    def _keep(self, files: Path, kept: Path, pinned: Mapping[str, str]) -> None:
        """The same may be there already, of a request that was never written down."""
        if kept.is_dir() and self._sums(kept) != pinned:
            shutil.rmtree(kept)
        try:
            os.rename(files, kept)
        except OSError:
            if not kept.is_dir():
                raise

    def judge(self, stages: Sequence[Stage], order: Order, *, quick: bool = False) -> Sequence[Ruled]:
        from greenroom.adapters.database.judgement import judged, objected

        found = self._read(self._folder)
        if found.problems:
            raise Permanent(found.problems[0])
        against = objected(self.settings, order, found.migrations)
        settings = self._rehearsing(not quick)
        return [*against, *judged(settings, stages, order, found.migrations, planning=not quick)]

    def advance(self, stage: Stage, order: Order, memo: Document | None) -> Finding:
        source = self._source(stage, order)
        if self._nothing(stage, source, order):
            return Finding(Verdict.PASS, "the release brings nothing for it")
        from greenroom.adapters.database.job import Ask

        ask = Ask(stage, order, str(source), self.settings.folder)
        return self._work(stage, order).advance(ask, self.settings, self.place.file.parent, memo)

    def withdraw(self, stage: Stage, order: Order, memo: Document | None) -> None:
        self._work(stage, order).withdraw()

    def _source(self, stage: Stage, order: Order) -> Path:
        """As it was pinned. Where that is not kept (on another machine), as it is: whether it is the same, the work looks; a
        contract then goes by what the ledger has.
        """
        kept = self._kept(order.release, order.pinned)
        if kept.is_dir() or (stage is Stage.CONTRACT and order.pinned is not None):
            return kept
        return self._folder

    def _nothing(self, stage: Stage, source: Path, order: Order) -> bool:
        """Neither a file of this stage, nor, of an expand, one that is to be remembered for later."""
        found = self._read(source)
        if found.problems or stage is Stage.CONTRACT:
            return False
        if order.pinned is not None and order.pinned != found.checksums:
            return False
        return not any(stage is Stage.EXPAND or stage in migration.scripts for migration in found.migrations)

    def _kept(self, release: str, pinned: Mapping[str, str] | None) -> Path:
        """Without checksums: as an older Greenroom kept it."""
        of_these = "" if pinned is None else "-" + sha256(repr(sorted(pinned.items())).encode()).hexdigest()[:12]
        return self.place.state / "migrations" / "kept" / f"{slug(release)}{of_these}"

    def _sums(self, folder: Path) -> Mapping[str, str]:
        return self._read(folder).checksums

    def _read(self, folder: Path) -> Found:
        from greenroom.adapters.database import files

        return files.read(folder, self.settings.folder, dialect_of(self.settings.url))

    def _work(self, stage: Stage, order: Order) -> Work:
        from greenroom.adapters.database.job import Work

        name = f"{slug(order.release)}-{stage}"
        return Work(
            self.place.state / "migrations" / "work" / name, self.place.state / "logs" / "migrations" / f"{name}.log"
        )

    def _unfit(self, migrations: Sequence[Migration]) -> list[str]:
        """Backfills that could not be carried out by ranges of keys."""
        from greenroom.adapters.database.backfill.running import fills

        found = []
        for migration in migrations:
            if Stage.BACKFILL in migration.scripts:
                try:
                    fills(migration, dialect_of(self.settings.url))
                except UsageError as error:
                    found.append(f"{error.message}; {error.hint}")
        return found


def _prune(folder: Path) -> None:
    """What the oldest releases were asked with; the ledger has it as well."""
    kept = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.stat().st_mtime)
    for entry in kept[:-KEPT]:
        shutil.rmtree(entry, ignore_errors=True)
