"""Who is live, published in Parameter Store: a copy, written when it says something else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.notifiers.ssm import SsmNotifier, SsmSettings
from greenroom.domain.model import Event
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Place
from tests.rigs import aws_front
from tests.rigs.aws_front import Fault, Front

PLACE = Place("shop", Path("greenroom.yaml").absolute(), Path(".greenroom").absolute())
NAME = "/greenroom/shop/live"


def event(colour: str = "green", version: str = "42", kind: str = "succeeded", **facts: Any) -> Event:
    live = {"active": colour, "active_version": version} if colour else {}
    return Event("shop/7", kind, "shop", 1.0, "r-0001", version, "text", {**live, **facts})


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def front(upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    aws_front.nobody(monkeypatch)
    front = Front(upstream, clock=time.time)
    try:
        yield front
    finally:
        front.close()


@pytest.fixture
def store(upstream: tuple[str, int]) -> Iterator[Any]:
    """Goes round the adapter."""
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
    client: Any = boto3.client("ssm", endpoint_url=f"http://{upstream[0]}:{upstream[1]}", **keys)
    yield client
    for parameter in client.describe_parameters()["Parameters"]:
        client.delete_parameter(Name=parameter["Name"])


def notifier(front: Front, **more: Any) -> SsmNotifier:
    return SsmNotifier(settings(front, **more), PLACE)


def settings(front: Front, **more: Any) -> SsmSettings:
    return SsmSettings.model_validate({"region": "eu-central-1", "endpoint": front.url, **more})


def test_the_live_colour_stands_there_and_each_change_is_one_version(front: Front, store: Any) -> None:
    ssm = notifier(front)
    for colour in ("green", "green", "blue"):
        ssm.notify(event(colour))
    found = store.get_parameter(Name=NAME)["Parameter"]
    assert (found["Value"], found["Type"], found["Version"]) == ("blue", "String", 2)


@pytest.mark.parametrize(
    ("value", "text"), [("colour", "green"), ("version", "42"), ("json", '{"colour": "green", "version": "42"}')]
)
def test_what_stands_in_it_is_as_the_file_wants_it(front: Front, store: Any, value: str, text: str) -> None:
    notifier(front, value=value, parameter="/live/{service}").notify(event())
    assert store.get_parameter(Name="/live/shop")["Parameter"]["Value"] == text


def test_an_event_before_anything_is_live_says_nothing(front: Front, store: Any) -> None:
    notifier(front).notify(event("", kind="started"))
    assert store.describe_parameters()["Parameters"] == []


def test_a_right_that_is_missing_is_told_before_a_deploy(front: Front) -> None:
    front.faults = [Fault("denied", "GetParameter")]
    [problem] = SsmNotifier.problems(settings(front), PLACE)
    assert "ssm:GetParameter" in problem
    assert NAME in problem


def test_another_account_is_told_before_a_deploy(front: Front) -> None:
    [problem] = SsmNotifier.problems(settings(front, account="999999999999"), PLACE)
    assert "999999999999" in problem


def test_nothing_to_say_before_a_deploy_where_all_is_well(front: Front) -> None:
    assert SsmNotifier.problems(settings(front), PLACE) == []


def test_a_throttled_one_is_told_again_later(front: Front, store: Any) -> None:
    ssm = notifier(front)
    front.faults = [Fault("throttle", "GetParameter")]
    with pytest.raises(Temporary):
        ssm.notify(event())
    ssm.notify(event())
    assert store.get_parameter(Name=NAME)["Parameter"]["Value"] == "green"


def test_a_refused_one_is_refused(front: Front) -> None:
    front.faults = [Fault("denied", "PutParameter")]
    with pytest.raises(Permanent, match="ssm:PutParameter"):
        notifier(front, account="123456789012").notify(event())


@pytest.mark.parametrize("name", ["", "no spaces", "live/shop", "/aws/x", "ssm-x", "x" * 3000, "/{colour}"])
def test_names_that_aws_refuses_are_refused_before(name: str) -> None:
    with pytest.raises(ValidationError):
        SsmSettings.model_validate({"parameter": name})


def test_its_json_is_one_document(front: Front, store: Any) -> None:
    notifier(front, value="json").notify(event("blue", "1.0"))
    assert json.loads(store.get_parameter(Name=NAME)["Parameter"]["Value"]) == {"colour": "blue", "version": "1.0"}
