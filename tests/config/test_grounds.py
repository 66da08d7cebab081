"""`hosts:` and `journal:`: where a service lives, and what is said of a file that says it badly."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.config.loader import load, load_ground
from greenroom.config.source import read
from greenroom.errors import Permanent, UsageError
from greenroom.standing import Standing

GOOD = """\
service: shop
hosts:
  app1: {ssh: deploy@192.0.2.1, address: 10.0.0.1}
  app2: {ssh: deploy@192.0.2.2, address: 10.0.0.2}
  lb: {ssh: deploy@192.0.2.3, key: "${KEY}"}
environment:
  type: docker
  hosts: [app2, app1]
  image: shop:{version}
  processes:
    web: {port: 8000, health: {path: /health}}
router:
  type: nginx
  hosts: [lb]
  listen: 192.0.2.3:80
  test_route: {header: x-greenroom-test}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "greenroom.yaml"
    path.write_text(text)
    return path


def test_environment_and_router_are_on_their_hosts(tmp_path: Path) -> None:
    sections = load(written(tmp_path, GOOD), {"KEY": "/keys/id"}).sections
    assert tuple(sections.ground.hosts) == ("app1", "app2", "lb")
    assert sections.environment_on == ("app1", "app2")  # in the order of `hosts`
    assert sections.router_on == ("lb",)
    assert (sections.ground.journal.type, sections.ground.home) == ("host", "lb")


def test_without_names_both_are_on_every_host(tmp_path: Path) -> None:
    text = GOOD.replace("  hosts: [app2, app1]\n", "").replace("  hosts: [lb]\n", "")
    sections = load(written(tmp_path, text), {"KEY": "/keys/id"}).sections
    assert sections.environment_on == sections.router_on == ("app1", "app2", "lb")
    assert sections.ground.home == "app1"


def test_the_journal_may_be_on_another_host_or_in_postgresql(tmp_path: Path) -> None:
    named = load(written(tmp_path, GOOD + "journal: {host: app2}\n"), {"KEY": "k"}).sections.ground
    assert (named.journal.type, named.home) == ("host", "app2")
    shared = written(tmp_path, GOOD + "journal: {type: postgres, url: '${URL}'}\n")
    found = load(shared, {"KEY": "k", "URL": "postgresql://db/x"}).sections.ground
    assert found.journal.settings.url == "postgresql://db/x"


def test_to_find_the_journal_the_rest_of_the_file_need_not_be_good(tmp_path: Path) -> None:
    broken = written(tmp_path, GOOD.replace("image: shop:{version}", "image: ${IMAGE}\n  nonsense: 1"))
    ground = load_ground(read(broken), {"KEY": "/keys/id"})
    assert (ground.home, str(ground.hosts["lb"].settings.key)) == ("lb", "/keys/id")
    with pytest.raises(UsageError, match=r"hosts\.lb\.key: \$\{KEY\} is not set"):
        load_ground(read(broken), {})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hosts: [lb]", "hosts: [lbb]", r":14: router\.hosts\[0\]: there is no host `lbb`; known: app1, app2, lb"),
        ("hosts: [lb]", "hosts: lb", r":14: router\.hosts: should be a list of names; known: app1, app2, lb"),
        ("  app1:", "  App_1:", r":3: hosts\.App_1: is no name for a host"),
        (", address: 10.0.0.2", "", r"hosts\.app2\.address: is needed: the router is on another machine"),
        ("type: nginx", "type: envoy", r"router\.type: `envoy` is for this machine only; on hosts: haproxy, nginx"),
        (
            "router:",
            "journal: {type: sqlite}\nrouter:",
            r"journal\.type: `sqlite` is on this machine, the traffic is not",
        ),
        ("router:", "journal: {host: app9}\nrouter:", r"journal\.host: there is no host `app9`"),
        ("router:", "journal: {type: etcd}\nrouter:", r"journal\.type: there is no journal `etcd`"),
    ],
)
def test_what_is_said_of_a_bad_one(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load(written(tmp_path, GOOD.replace(old, new)), {"KEY": "k"})


def test_without_hosts_nothing_can_be_on_one(tmp_path: Path) -> None:
    text = "service: shop\nenvironment: {processes: {web: {command: x}}, hosts: [a]}\nrouter: {listen: 127.0.0.1:80}\n"
    with pytest.raises(UsageError, match=r"environment\.hosts: there are no hosts"):
        load(written(tmp_path, text), {})


AFAR = """service: shop
environment:
  type: ecs
  region: eu-central-1
  cluster: shop
  services: {blue: shop-blue, green: shop-green}
  task_definition: shop
  container: web
  port: 8000
  image: "shop:{version}"
journal: {type: dynamodb, region: eu-central-1}
router: {type: envoy, listen: "127.0.0.1:8080"}
notify:
  - {type: webhook, url: "${HOOK}"}
"""


def test_a_service_in_an_account_has_its_journal_there(tmp_path: Path) -> None:
    here = written(tmp_path, AFAR.replace("journal: {type: dynamodb, region: eu-central-1}\n", ""))
    with pytest.raises(UsageError, match="`sqlite` is on this machine, the traffic is not; `postgres` or `dynamodb`"):
        load(here, {"HOOK": "https://hook.example"})
    file = written(tmp_path, AFAR)
    assert load(file, {"HOOK": "https://hook.example"}).sections.ground.afar
    assert load_ground(read(file), {}).afar
    assert not load_ground(read(written(tmp_path, GOOD)), {"KEY": "k"}).afar


def test_another_runner_has_the_values_of_a_release_afar_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, AFAR)
    loaded = load(file, {"HOOK": "https://once.example"})
    standing = Standing("shop", file, tmp_path / "state", loaded)
    monkeypatch.delenv("HOOK", raising=False)
    with pytest.raises(Permanent, match="its environment lacks HOOK"):
        standing.given("r-0001", loaded.document)
    monkeypatch.setenv("HOOK", "https://hidden.example")
    assert standing.given("r-0001", loaded.document) == {"HOOK": "https://hidden.example"}
    assert "hidden" not in standing.conceal("posted to https://hidden.example")
    standing.vault.pin("r-0001", {"HOOK": "pinned"})
    assert standing.given("r-0001", loaded.document) == {"HOOK": "pinned"}
