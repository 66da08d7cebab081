"""What of the router `route53` is refused when the file is read, and what before a deploy touches anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.aws.dns.settings import Route53Settings
from greenroom.adapters.aws.rights import RIGHTS
from greenroom.domain.model import Colour, RoutingSpec, Split
from greenroom.errors import Permanent
from greenroom.ports import Place
from tests.adapters.test_route53 import behind, key, to
from tests.rigs import aws_front
from tests.rigs.aws_front import ACCOUNT, Fault
from tests.rigs.route53_stage import ADDRESSES, Stage

BLUE, GREEN = Colour.BLUE, Colour.GREEN
ALIAS = {c: {"alias": f"{c}-1.eu-central-1.elb.amazonaws.com", "zone": "Z215JYRZR1TBD5"} for c in ("blue", "green")}
GOOD: dict[str, Any] = {"records": [{"zone": "Z1D633PJN98FT9", "name": "shop.example"}], "targets": ALIAS}


def given(**more: Any) -> Route53Settings:
    return Route53Settings.model_validate({**GOOD, **more})


def test_little_is_enough() -> None:
    settings = given()
    assert (settings.ttl, settings.drain, settings.settle) == (60, 60, 60)
    assert given(ttl="2m").drain == 120
    assert given(ttl="5s").drain == 60
    assert settings.identifiers("shop") == {BLUE: "greenroom-shop-blue", GREEN: "greenroom-shop-green"}
    assert given(records=[{"zone": "/hostedzone/Z1D633PJN98FT9", "name": "shop.example"}]).records[0].by_id


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"records": []}, "at least 1"),
        ({"records": [{"zone": "Z1D633PJN98FT9", "name": "shop example"}]}, "is no name"),
        ({"records": [{"zone": "Z1D633PJN98FT9", "name": "a.b*.example"}]}, "is no name"),
        ({"records": [{"zone": "Z1D633PJN98FT9", "name": "shop.example", "type": "TXT"}]}, "'A', 'AAAA' or 'CNAME'"),
        ({"records": GOOD["records"] + [{"zone": "Z1D633PJN98FT9", "name": "Shop.Example."}]}, "is given twice"),
        ({"targets": None}, "has no targets"),
        ({"targets": {"blue": ALIAS["blue"], "green": ALIAS["blue"]}}, "lead to the same"),
        (
            {
                "targets": {
                    "blue": ALIAS["blue"],
                    "green": {**ALIAS["blue"], "alias": "DUALSTACK." + ALIAS["blue"]["alias"]},
                }
            },
            "lead to the same",
        ),
        (
            {"targets": {"blue": {"values": ["192.0.2.1"]}, "green": {"values": ["192.0.2.2", "192.0.2.1"]}}},
            "is blue's and",
        ),
        (
            {"targets": {"blue": {"values": ["192.0.2.1"]}, "green": {"values": ["2001:db8::1"]}}},
            "no address for a record A",
        ),
        ({"targets": {"blue": {"values": ["192.0.2.1"]}, "green": ALIAS["green"]}, "ttl": "30s"}, "`ttl: 60s`"),
        ({"targets": {"blue": {}, "green": ALIAS["green"]}}, "either `alias`"),
        ({"targets": {"blue": {"alias": "a.example"}, "green": ALIAS["green"]}}, "CanonicalHostedZoneId"),
        ({"ttl": "10m"}, "less than or equal to 300"),
        ({"ttl": "500ms"}, "whole seconds"),
        ({"ttl": 60}, "write 60s"),
        ({"set_identifier": "shop"}, r"must hold \{colour\}"),
        ({"set_identifier": "{colour}-{release}"}, r"must hold \{colour\}"),
        ({"test_route": {"blue": "https://a.example", "green": "https://a.example"}}, "same address"),
        ({"url": "shop.example"}, "is no address of a site"),
        ({"observe": {"servers": ["ns-1.example"]}}, "is no address of a server"),
        ({"records": [{"zone": "Z1D633PJN98FT9", "name": "www.shop.example", "type": "CNAME"}]}, "a CNAME is no alias"),
    ],
)
def test_a_file_that_cannot_work_is_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        given(**more)


# before a deploy, on moto


@pytest.fixture(scope="session")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def stage(tmp_path: Path, upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    aws_front.nobody(monkeypatch)
    with Stage(tmp_path, upstream, ttl="60s") as one:
        yield one


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.real
@pytest.mark.xdist_group("moto")
class TestBeforeADeploy:
    def test_what_is_well_has_no_problems_and_nothing_was_changed(self, stage: Stage) -> None:
        assert stage.problems(account=ACCOUNT) == []
        assert stage.hazards() == []
        assert stage.cloud.sets(stage.zone) == []
        stage.router().apply(to(Split.all_to(BLUE)), key())
        assert stage.problems() == []
        by_name = [{"zone": stage.domain, "name": stage.name}]
        assert stage.problems(records=by_name) == []

    def test_the_zone(self, stage: Stage) -> None:
        private = stage.cloud.zone(f"in.{stage.domain}", private=True)

        def problem(zone: str, name: str, **more: Any) -> str:
            return only(stage.problems(records=[{"zone": zone, "name": name, **more}]))

        assert "records.0.zone: there is no hosted zone Z0000" in problem("Z0000", stage.name)
        assert "no hosted zone nobody.example" in problem("nobody.example", "shop.nobody.example")
        assert "is not in the hosted zone" in problem(stage.zone, "shop.example.net")
        assert "is not in the hosted zone" in problem(stage.zone, f"not{stage.domain}")
        assert "is private: only its VPCs ask it" in problem(private, f"shop.in.{stage.domain}")
        assert "is not public" in problem(f"in.{stage.domain}", f"shop.in.{stage.domain}")
        assert "is public: leave" in problem(stage.zone, stage.name, private=True)
        inside = [{"zone": private, "name": f"shop.in.{stage.domain}", "private": True}]
        assert stage.problems(records=inside, observe=None) == []
        assert "no name servers" in only(stage.problems(records=inside, observe={}))
        twice = [{"zone": stage.zone, "name": stage.name}, {"zone": stage.domain, "name": stage.name}]
        assert "is given twice" in only(stage.problems(records=twice))
        named = {"blue": {"values": ["a.example"]}, "green": {"values": ["b.example"]}}
        apex = [{"zone": stage.zone, "name": stage.domain, "type": "CNAME", "targets": named}]
        assert "takes no CNAME" in only(stage.problems(records=apex))
        assert "account" in only(stage.problems(account="210987654321"))

    def test_a_simple_record_is_replaced_without_a_gap_as_it_says(self, stage: Stage) -> None:
        simple = {"Name": stage.name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": ADDRESSES[BLUE]}]}
        stage.cloud.set(stage.zone, ("CREATE", simple))
        said = only(stage.problems())
        assert f"{stage.name} A is a simple record to {ADDRESSES[BLUE]}" in said
        assert "DELETE of it and a CREATE of the weighted records" in said
        assert "(blue's, with the weight 100, and the other's with 0)" in said
        with pytest.raises(Permanent, match="simple record"):
            stage.router().apply(to(Split.all_to(BLUE)), key())
        weighted = [("CREATE", stage.weighted(c, 100 if c is BLUE else 0, TTL=60)) for c in Colour]
        stage.cloud.set(stage.zone, ("DELETE", simple), *weighted)
        assert stage.problems() == []
        stage.router().apply(to(Split.all_to(BLUE)), key())
        assert stage.router().observe().told == to(Split.all_to(BLUE))

    def test_what_stands_there_already(self, stage: Stage) -> None:
        latency = {"Name": stage.name, "Type": "A", "TTL": 60, "SetIdentifier": "eu", "Region": "eu-central-1"}
        stage.cloud.set(stage.zone, ("CREATE", {**latency, "ResourceRecords": [{"Value": "192.0.2.7"}]}))
        assert "the routing policy Region" in only(stage.problems())
        stage.cloud.set(stage.zone, ("DELETE", {**latency, "ResourceRecords": [{"Value": "192.0.2.7"}]}))
        for colour in Colour:
            stage.cloud.set(stage.zone, ("CREATE", stage.weighted(colour, 50, TTL=3600)))
        said = only(stage.problems())
        assert "has a TTL of 1h" in said
        assert "deploy 1h later" in said
        for colour in Colour:
            stage.cloud.set(stage.zone, ("DELETE", stage.weighted(colour, 50, TTL=3600)))
        alone = {"Name": stage.name, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "a.example."}]}
        stage.cloud.set(stage.zone, ("CREATE", alone))
        assert "a CNAME stands alone" in only(stage.problems())

    def test_health_checks_and_services(self, stage: Stage) -> None:
        targets = {str(c): {"values": [ADDRESSES[c]], "health_check": "11111111-none"} for c in Colour}
        assert "no health check 11111111-none" in only(stage.problems(targets=targets))
        stage.router().apply(RoutingSpec(Split.all_to(BLUE), behind(BLUE)), key())
        other = Place("till", stage.place.file, stage.place.state)
        said = only(type(stage.router()).problems(stage.configured(set_identifier="greenroom-shop-{colour}"), other))
        assert "belong to the service shop" in said

    @pytest.mark.parametrize(
        "operation", ["ChangeResourceRecordSets", "ListResourceRecordSets", "GetHostedZone", "GetChange"]
    )
    def test_a_missing_right_is_named_with_its_resource(self, stage: Stage, operation: str) -> None:
        stage.cloud.faults.append(Fault("denied", operation))
        said = only(stage.problems())
        assert f"route53:{operation} on arn:aws:route53:::" in said
        assert stage.cloud.sets(stage.zone) == []

    def test_what_users_would_notice(self, stage: Stage) -> None:
        found = stage.hazards(observe=None, test_route=None)
        assert [text.partition(":")[0] for text in found] == ["router.observe", "router.test_route"]


def test_the_policy_of_the_guide_is_what_it_asks_for() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "route53.md").read_text(encoding="utf-8")
    documents = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", guide, re.DOTALL)]
    [policy] = [document for document in documents if "Statement" in document]
    said: set[str] = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        said |= {actions} if isinstance(actions, str) else set(actions)
    needed = {action for right in RIGHTS if right.part == "route53" for action in right.actions}
    assert said == needed
