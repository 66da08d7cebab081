"""The judge over the corpus: no harm is allowed, and little that is harmless refused; alone, and with a rehearsal.

A case is judged as one file, by its worst statement. What its label says was observed (`test_corpus_truth.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import pytest

from greenroom.adapters.database.judging import Context, Schema, created, judge
from greenroom.adapters.database.reading import Statement, split
from greenroom.adapters.database.shadow.facts import Facts
from greenroom.adapters.database.shadow.rehearsal import Shadow
from greenroom.adapters.database.shadow.schema import of_text
from greenroom.domain.schema import Dialect, Ruled, Ruling
from greenroom.errors import UsageError
from tests.database.corpus.cases import Case, base, cases
from tests.rigs import postgres

_ROWS = ("INSERT", "ANALYZE", "REFRESH", "WITH")
_ENOUGH = {"refuse": (Ruling.REFUSE,), "warn": (Ruling.WARN, Ruling.REFUSE)}
Judged = tuple[Ruling, list[Ruled]]
Judge = Callable[[Case], Judged]


@cache
def _shape(dialect: Dialect) -> str:
    """The base without its rows: what `--schema` would name."""
    kept = [one.sql for one in split(base(dialect), dialect, "base.sql") if not one.sql.startswith(_ROWS)]
    return "".join(f"{sql};\n" for sql in kept)


def _text(statements: tuple[str, ...]) -> str:
    return "".join(f"{sql};\n" for sql in statements)


def _judged(case: Case, rehearsed: Callable[[Case, list[Statement], list[Statement]], Mapping[int, Facts]]) -> Judged:
    """As `greenroom db check FILE --phase … --schema … --applied …` does it."""
    applied = split(_text(case.applied), case.dialect, "applied.sql")
    schema = split(_shape(case.dialect) + _text(case.schema), case.dialect, "schema.sql")
    try:
        statements = split(case.text, case.dialect, f"{case.name}.sql")
    except UsageError as error:
        return Ruling.REFUSE, [Ruled(case.name, 1, case.text, Ruling.REFUSE, "unreadable", error.message)]
    facts = rehearsed(case, statements, applied)
    made = created(applied, case.dialect)
    context = Context(case.dialect, "41", Schema(schema), applied, facts, made)
    ruled = judge(statements, case.stage, context)
    return Ruling.worst([one.ruling for one in ruled]), ruled


def _alone(case: Case) -> Judged:
    return _judged(case, lambda *_: {})


@pytest.fixture(scope="module")
def with_rehearsal() -> Iterator[Judge]:
    with postgres.shared() as cluster, cluster.connect("postgres") as db:
        if not db.execute("SELECT FROM pg_roles WHERE rolname = 'app'").fetchall():
            db.execute("CREATE ROLE app LOGIN")
        with Shadow(cluster.url("postgres")) as shadow:

            def rehearsed(case: Case, statements: list[Statement], applied: list[Statement]) -> Mapping[int, Facts]:
                before = [*split(_text(case.schema), case.dialect, "schema.sql"), *applied]
                found = shadow.rehearse(statements, of_text(_shape(case.dialect), "base.sql"), before)
                return {facts.number: facts for facts in found}

            @cache
            def judged(name: str) -> Judged:
                [case] = [case for case in cases(Dialect.POSTGRES) if case.name == name]
                return _judged(case, rehearsed)

            yield lambda case: judged(case.name)


def _harm_allowed(judge_: Judge, chosen: Sequence[Case], alone: bool) -> list[str]:
    """What the change itself could have told; the rest is for the probes and the contract gate.

    What the server refuses (`fails`) hurts nobody: who only reads need not see it coming.
    """
    found = []
    for case in chosen:
        if case.harmful and case.known == "sql" and not (alone and set(case.hazards) == {"fails"}):
            ruling, ruled = judge_(case)
            if ruling not in _ENOUGH[case.accept]:
                found.append(_said(case, ruling, ruled))
    return found


def _harmless_refused(judge_: Judge, chosen: Sequence[Case]) -> list[str]:
    found = []
    for case in chosen:
        if not case.harmful:
            ruling, ruled = judge_(case)
            if ruling is Ruling.REFUSE:
                found.append(_said(case, ruling, ruled))
    return found


def _said(case: Case, ruling: Ruling, ruled: list[Ruled]) -> str:
    rules = ", ".join(one.rule for one in ruled if one.rule) or "no rule"
    return f"{case.stage} {case.name}: {ruling} ({rules}): {' | '.join(case.sql)}"


def _harmless(dialect: Dialect) -> int:
    return sum(not case.harmful for case in cases(dialect))


def _in_doubt() -> list[Case]:
    """Where reading alone does not say what happens, so that the rehearsal has something to say; and some others."""
    every = cases(Dialect.POSTGRES)
    doubtful = [case for case in every if (_alone(case)[0] is Ruling.REFUSE) != (case.harmful and case.known == "sql")]
    unclear = [case for case in every if case.sql[0].startswith(("DO ", "SELECT ", "WITH ", "EXPLAIN "))]
    return list({case.name: case for case in [*doubtful, *unclear, *every[::12]]}.values())


@pytest.mark.parametrize("dialect", Dialect)
def test_no_harm_is_allowed_by_reading_alone(dialect: Dialect) -> None:
    missed = _harm_allowed(_alone, cases(dialect), alone=True)
    assert not missed, "\n".join(["", *missed])


@pytest.mark.parametrize("dialect", Dialect)
def test_little_is_refused_that_is_harmless_by_reading_alone(dialect: Dialect) -> None:
    refused = _harmless_refused(_alone, cases(dialect))
    assert len(refused) <= 0.10 * _harmless(dialect), "\n".join(["", *refused])


@pytest.mark.real
@pytest.mark.xdist_group("postgres")
def test_what_a_rehearsal_adds(with_rehearsal: Judge) -> None:
    """No harm is allowed, not even what fails; and of what reading alone refuses, little stays refused."""
    chosen = _in_doubt()
    missed = _harm_allowed(with_rehearsal, chosen, alone=False)
    assert not missed, "\n".join(["", *missed])
    refused = _harmless_refused(with_rehearsal, chosen)
    assert len(refused) <= 0.05 * _harmless(Dialect.POSTGRES), "\n".join(["", *refused])


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.xdist_group("postgres")
def test_the_whole_corpus_with_a_rehearsal(with_rehearsal: Judge) -> None:
    missed = _harm_allowed(with_rehearsal, cases(Dialect.POSTGRES), alone=False)
    assert not missed, "\n".join(["", *missed])
    refused = _harmless_refused(with_rehearsal, cases(Dialect.POSTGRES))
    assert len(refused) <= 0.05 * _harmless(Dialect.POSTGRES), "\n".join(["", *refused])
