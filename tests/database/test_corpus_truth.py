"""Every label of the corpus is observed: the change is carried out on a real server, beside the running version.

A sample each time; all of them in `make soak`, which is due whenever the corpus or what observes it has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.domain.schema import Dialect, Stage
from tests.database.corpus.cases import SOFT, Case, application, base, cases
from tests.database.truth import Bench
from tests.database.truth_elsewhere import on_mariadb, on_sqlite
from tests.rigs import mariadb, postgres

POSTGRES = cases(Dialect.POSTGRES)
ONE_IN = {Dialect.POSTGRES: 5, Dialect.MYSQL: 3, Dialect.SQLITE: 1}


def sample(dialect: Dialect) -> list[Any]:
    """Every case; those that are not of the sample are for the soak."""
    every = ONE_IN[dialect]
    return [
        pytest.param(case, id=case.name, marks=[] if number % every == 0 else [pytest.mark.soak])
        for number, case in enumerate(cases(dialect))
    ]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with postgres.shared() as cluster:
        made = Bench(cluster, base(Dialect.POSTGRES), application(Dialect.POSTGRES))
        try:
            yield made
        finally:
            made.end()


@pytest.mark.real
@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("case", sample(Dialect.POSTGRES))
def test_what_the_corpus_says_is_what_happens(bench: Bench, case: Case) -> None:
    seen = bench.observe(case)
    assert seen == case.hazards
    assert bool(seen) == case.harmful


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.Server]:
    with mariadb.shared() as made:
        yield made


@pytest.mark.real
@pytest.mark.xdist_group("mariadb")
@pytest.mark.parametrize("case", sample(Dialect.MYSQL))
def test_on_mariadb(server: mariadb.Server, case: Case) -> None:
    seen = on_mariadb(server, case)
    assert seen == case.hazards
    assert bool(seen) == case.harmful


@pytest.mark.parametrize("case", sample(Dialect.SQLITE))
def test_on_sqlite(tmp_path: Path, case: Case) -> None:
    seen = on_sqlite(tmp_path, case)
    assert seen == case.hazards
    assert bool(seen) == case.harmful


def test_the_corpus_is_large_enough_and_even() -> None:
    names = Counter(case.name for dialect in Dialect for case in cases(dialect))
    assert not [name for name, count in names.items() if count > 1]
    assert len(POSTGRES) >= 180
    assert min(len(cases(Dialect.MYSQL)), len(cases(Dialect.SQLITE))) >= 25
    for stage in Stage:
        labels = Counter(case.label for case in POSTGRES if case.stage is stage)
        assert min(labels["harmful"], labels["harmless"]) >= 4
        assert set(labels) == {"harmful", "harmless"}


@pytest.mark.parametrize("dialect", Dialect)
def test_a_warning_is_enough_only_where_the_change_alone_cannot_tell(dialect: Dialect) -> None:
    """What hurts by itself is refused; a warning is enough where it depends on habits that the case adds."""
    for case in cases(dialect):
        assert case.accept in ("refuse", "warn"), case.name
        assert case.known in ("sql", "probe", "gate"), case.name
        assert case.harmful == bool(case.hazards), case.name
        if case.accept == "warn":
            habits = set(case.hazards) <= {"breaks"} and set(case.hazards["breaks"]) <= set(case.old)
            no_other_way = dialect is Dialect.SQLITE and set(case.hazards) == {"blocks_writers"}
            assert set(case.hazards) <= SOFT or habits or no_other_way, case.name
