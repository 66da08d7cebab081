"""What is left of a release, kept in a bucket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenroom.adapters.notifiers.s3 import S3Notifier, S3Settings
from greenroom.domain.model import Event
from greenroom.engine.album import FOLDER as PICTURES
from greenroom.engine.inspection import FOLDER as FAILED
from greenroom.engine.recorder import MEASUREMENTS
from greenroom.ports import Place
from tests.rigs import aws_front

EVENT = Event("shop/7", "rolled_back", "shop", 1.0, "r-0001", "42", "42 was taken back, 41 serves", {"by": "anna"})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with aws_front.moto() as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Goes round the adapter."""
    import boto3

    aws_front.nobody(monkeypatch)
    client: Any = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="shop-releases", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / PICTURES).mkdir()
    (tmp_path / PICTURES / "r-0001.svg").write_text("<svg/>")
    (tmp_path / PICTURES / "r-0002.svg").write_text("<svg>another</svg>")
    (tmp_path / MEASUREMENTS).mkdir()
    (tmp_path / MEASUREMENTS / "r-0001.jsonl").write_text("{}\n")
    (tmp_path / FAILED / "r-0001" / "output").mkdir(parents=True)
    (tmp_path / FAILED / "r-0001" / "output" / "web-1.log").write_text("Traceback\n")
    return Place("shop", tmp_path / "greenroom.yaml", tmp_path)


def settings(endpoint: str, **more: Any) -> S3Settings:
    return S3Settings.model_validate(
        {"bucket": "shop-releases", "region": "eu-central-1", "endpoint": endpoint, **more}
    )


def test_picture_measurements_output_and_the_end_itself_are_kept(endpoint: str, store: Any, place: Place) -> None:
    notifier = S3Notifier(settings(endpoint, prefix="kept/{service}/{release}"), place)
    notifier.notify(EVENT)
    notifier.notify(EVENT)
    found = store.list_objects_v2(Bucket="shop-releases", Prefix="kept/")["Contents"]
    names = [one["Key"].removeprefix("kept/shop/r-0001/") for one in found]
    assert names == ["failed/output/web-1.log", "measurements.jsonl", "picture.svg", "rolled_back.json"]
    picture = store.get_object(Bucket="shop-releases", Key="kept/shop/r-0001/picture.svg")
    assert (picture["ContentType"], picture["Body"].read()) == ("image/svg+xml", b"<svg/>")
    told = json.loads(store.get_object(Bucket="shop-releases", Key="kept/shop/r-0001/rolled_back.json")["Body"].read())
    assert (told["text"], told["by"], told["version"]) == (EVENT.text, "anna", "42")


def test_only_the_ends_are_kept(endpoint: str, place: Place) -> None:
    on = S3Notifier(settings(endpoint), place).on
    assert on is not None
    assert "succeeded" in on
    assert "started" not in on


def test_a_bucket_that_is_not_there_is_told_before_a_deploy(endpoint: str, store: Any, place: Place) -> None:
    assert S3Notifier.problems(settings(endpoint), place) == []
    [problem] = S3Notifier.problems(settings(endpoint, bucket="nobodys"), place)
    assert "nobodys" in problem


@pytest.mark.parametrize("prefix", ["", "all", "/{release}", "{nobody}/{release}", "a//{release}"])
def test_prefixes_that_would_not_do_are_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        S3Settings.model_validate({"bucket": "shop-releases", "prefix": prefix})
