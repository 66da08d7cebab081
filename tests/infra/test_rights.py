"""The table of rights against the source, botocore's models, and AWS's own catalogue of actions and resources."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from greenroom.adapters.aws import rights
from greenroom.adapters.aws.troubles import action
from tests.infra.calls import ADAPTERS, UNSEEN, Call, calls

ROOT = Path(__file__).parents[2]
HOME = {
    "journal": ("journals/",),
    "create": ("journals/",),
    "cloudwatch": ("aws/alarms", "sources/cloudwatch"),
    "alb": ("aws/elb", "routers/alb"),
    "route53": ("aws/dns", "routers/route53"),
    "ecs": ("aws/ecs", "environments/ecs", "artefacts/ecs"),
    "live": ("notifiers/ssm",),
    "kept": ("notifiers/s3",),
    "static": ("static/",),
}
"""Where each part's calls are made."""
NOT_ASKED = {"sts.get_caller_identity"}  # everybody may, and no policy can take it away
NAMES = {
    "region": "eu-central-1",
    "account": "123456789012",
    "table": "greenroom",
    "listener": ["shop/50dc6c495c0c9188/*"],
    "rule": "shop/50dc6c495c0c9188/*",
    "zone": ["Z1D633PJN98FT9"],
    "cluster": "shop",
    "service": ["shop-blue", "shop-green"],
    "family": "shop",
    "repository": "shop",
    "log_group": "/greenroom/shop",
    "role": ["shop-application", "shop-execution"],
    "parameter": "/greenroom/shop/live",
    "bucket": "shop-front",
    "distribution": "E1ABCDEF",
}
GUIDE = (
    ["journal", "cloudwatch", "alb", "ecs", "live"],
    NAMES | {"listener": "shop/*", "rule": "shop/*"},
)
"""What docs/guides/aws.md shows."""
ON_ALL = {"cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"}
"""Actions that know resources, and are allowed on all: the guide of CloudWatch says why."""


@pytest.fixture(scope="module")
def asked() -> set[Call]:
    return calls()


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    """What AWS publishes of actions and the resources that they know, as cfn-lint has it."""
    text = files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_source_shows_every_operation(asked: set[Call]) -> None:
    """An operation that is put together at run time could be in no table."""
    assert not [call for call in asked if UNSEEN in (call.service, call.operation)]


def test_every_call_is_in_the_table_and_nothing_else_is(asked: set[Call]) -> None:
    made = {f"{call.service}.{call.operation}" for call in asked} - NOT_ASKED
    listed = {right.operation for right in rights.RIGHTS if right.operation}
    assert not made - listed, "add them to RIGHTS in adapters/aws/rights.py"
    assert not listed - made, "nothing asks for these any more: take them out of RIGHTS"


def test_each_part_has_what_its_own_modules_ask_for(asked: set[Call]) -> None:
    assert set(HOME) == set(rights.PARTS)
    for call in asked:
        homes = [part for part, folders in HOME.items() if call.where.startswith(folders)]
        assert homes, f"{call.where} asks AWS and belongs to no part: name it in PARTS and in HOME"
        listed = {right.operation for right in rights.RIGHTS if right.part in homes}
        assert f"{call.service}.{call.operation}" in listed | NOT_ASKED, f"{homes} lacks it"


def test_only_the_one_client_imports_boto3() -> None:
    """Else calls could be made that nothing here sees."""
    users = [path for path in ADAPTERS.parent.rglob("*.py") if re.search(r"^\s*import boto3", path.read_text(), re.M)]
    assert [path.relative_to(ADAPTERS).as_posix() for path in users] == ["aws/client.py"]


def test_operations_are_those_of_botocore_and_actions_follow_from_them() -> None:
    session = botocore.session.get_session()
    for right in (right for right in rights.RIGHTS if right.operation):
        service, _, operation = right.operation.partition(".")
        model = session.get_service_model(service)
        named = {botocore.xform_name(name): name for name in model.operation_names}
        assert operation in named, right.operation
        if right.operation not in rights._OTHERWISE:
            assert right.actions == (action(model.signing_name, named[operation]),)


def test_aws_knows_every_action_on_such_a_resource(catalogue: dict[str, Any]) -> None:
    """A resource of a kind that an action does not know allows nothing, and AWS does not say so."""
    for said in rights.policy(rights.PARTS, NAMES)["Statement"]:
        resources = [said["Resource"]] if isinstance(said["Resource"], str) else said["Resource"]
        for named in said["Action"]:
            prefix, _, name = named.partition(":")
            known = catalogue[prefix]["Actions"].get(name.lower())
            assert known is not None, f"AWS knows no action {named}"
            kinds = known.get("Resources", [])
            if resources == ["*"]:
                narrow = kinds and named not in ON_ALL
                assert not narrow, f"{named} may be allowed on less than all: {kinds}"
                continue
            shapes = [shape for kind in kinds for shape in _shapes(catalogue, prefix, kind)]
            for resource in resources:
                assert any(re.fullmatch(shape, resource) for shape in shapes), f"{named} does not know {resource}"


def _shapes(catalogue: dict[str, Any], prefix: str, kind: str) -> list[str]:
    formats = catalogue[prefix]["Resources"][kind.lower()]["ARNFormats"]
    return [re.sub(r"\$\{\w+\}", "[^:]*", shape) for shape in formats]


def test_a_policy_is_small_and_says_what_it_lacks() -> None:
    whole = rights.policy(["journal", "create", "cloudwatch", "alb", "ecs", "live"], NAMES)
    sids = [said["Sid"] for said in whole["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() for sid in sids)
    assert len(json.dumps(whole, separators=(",", ":"))) < 6144, "a managed policy has 6144 characters"
    everywhere = [said for said in whole["Statement"] if said["Resource"] == "*"]
    wide = [named for said in everywhere for named in said["Action"]]
    reading = ("Describe", "List", "Get")
    assert [n for n in wide if not n.partition(":")[2].startswith(reading)] == ["ecs:DeregisterTaskDefinition"]
    assert "AlbRules" not in str(rights.policy(["alb"], NAMES | {"rule": []}))
    with pytest.raises(ValueError, match="what is 'table'"):
        rights.policy(["journal"], {"region": "eu-central-1", "account": "123456789012"})
    with pytest.raises(ValueError, match="'lambda' is no part"):
        rights.policy(["lambda"], NAMES)


def test_the_module_has_the_same_table() -> None:
    written = ROOT / "infra" / "terraform" / "modules" / "greenroom" / "rights.json"
    assert written.read_text(encoding="utf-8") == rights.table(), "python -m greenroom.adapters.aws.rights > it"


def test_the_guide_shows_the_policy() -> None:
    page = (ROOT / "docs" / "guides" / "aws.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    assert json.loads(shown) == rights.policy(*GUIDE)
