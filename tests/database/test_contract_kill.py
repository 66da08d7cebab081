"""kill -9 before every write and every commit of a contract: what is left is of one piece, and the next call goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from greenroom.adapters.database.contracting import ContractSettings
from greenroom.adapters.database.target import of
from greenroom.domain.model import Verdict
from tests.database.old_column import CONTRACT, ORDER, Deadly, Shop, killed_by, migration, opened
from tests.rigs import postgres
from tests.rigs.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
SOFT = ContractSettings(soft_drop="1h", evidence=())
LATER = ORDER.now + 9999
AROUND = f"ALTER TABLE users ALTER new SET DEFAULT ''; {CONTRACT} CREATE INDEX CONCURRENTLY by_new ON users (new);"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with postgres.shared() as made:
        yield made


def killed(shop: Shop, number: int, act: Callable[[], object]) -> bool:
    def there(deadly: Deadly) -> None:
        deadly.target, shop.target = shop.target, deadly
        act()

    found = killed_by(number, there)
    shop.alone()
    return found


def whole(shop: Shop) -> None:
    """What the ledger says is so, and users can write."""
    with_old = {
        "pending": {"old"},
        "soft": {"greenroom_gone_old"},
        "running": {"old", "greenroom_gone_old", ""},
        "done": {""},
    }
    [found] = {name for name in shop.columns if "old" in name} or {""}
    assert found in with_old[shop.stand()]
    shop.run("INSERT INTO users (name, new) VALUES ('x', 'y')")
    back = shop.hold(release="r42")
    assert (back.verdict is Verdict.PASS) is (shop.stand() == "pending"), back
    shop.hold(going_back=False)


@pytest.fixture
def shop(cluster: Cluster) -> Shop:
    made = opened(cluster, migration(AROUND))
    made.target = of(f"postgresql://ann@/{made.name}?host={cluster.folder}&port={cluster.port}")
    made.settings = SOFT
    return made


def test_hiding(shop: Shop) -> None:
    number = 1
    while killed(shop, number, shop.contract):
        whole(shop)
        shop.restore()
        number += 1
    assert number > 8
    assert shop.stand() == "soft"


def test_putting_back(shop: Shop) -> None:
    number = 1
    shop.contract()
    while killed(shop, number, shop.restore):
        whole(shop)
        shop.contract()
        number += 1
    assert number > 5
    assert shop.stand() == "pending"


def test_dropping(shop: Shop) -> None:
    """Each call goes a little further than the last."""
    shop.contract()
    number = 1
    while killed(shop, number, lambda: shop.contract(now=LATER)):
        whole(shop)
        number += 1
    assert number > 10
    assert shop.stand() == "done"
    assert shop.columns == {"id", "name", "new"}
    assert shop.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_new'::regclass") == [(True,)]
    assert shop.rows("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]
    assert shop.contract(now=LATER).verdict is Verdict.PASS
