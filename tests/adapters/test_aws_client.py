"""The client for AWS: what each trouble becomes, the right account before the first write, and no word too much."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from greenroom.adapters.aws import troubles
from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from tests.rigs import aws_front
from tests.rigs.aws_front import Fault, Front

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("moto")]

SECRET = "hunter2hunter2"


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[str, int]]:
    with aws_front.moto() as address:
        yield address


@pytest.fixture
def front(upstream: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    aws_front.nobody(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    front = Front(upstream, time.time)
    yield front
    front.close()


def client(front: Front, **access: str) -> Client:
    return Client(front.access(**access), connect_within=1, answer_within=1)


def look(asked: Client) -> Any:
    return asked.read("dynamodb", "describe_table", "table t", TableName="t")


def make(asked: Client, table: str = "t") -> Any:
    return asked.write(
        "dynamodb",
        "create_table",
        f"table {table}",
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def tables(front: Front) -> list[str]:
    """Those there are, whatever the client believes."""
    front.faults.clear()
    return [name for page in client(front).pages("dynamodb", "list_tables") for name in page["TableNames"]]


@pytest.mark.parametrize(
    ("kind", "read", "write", "done"),
    [
        ("throttle", Temporary, Temporary, False),
        ("error", Temporary, Uncertain, False),
        ("error-after", Temporary, Uncertain, True),
        ("reset-after", Temporary, Uncertain, True),
        ("hang-after", Temporary, Uncertain, True),
        ("garbage-after", Temporary, Uncertain, True),
        ("hang", Temporary, Uncertain, False),
        ("denied", Permanent, Permanent, False),
    ],
)
def test_ft_22_a_trouble_says_whether_it_has_happened_and_is_asked_once(
    front: Front, kind: str, read: type[PortError], write: type[PortError], done: bool
) -> None:
    asked, table = client(front), f"t-{kind}"
    front.faults = [Fault(kind, times=99)]
    for act, expected in ((look, read), (lambda c: make(c, table), write)):
        with pytest.raises(PortError) as error:
            act(asked)
        assert type(error.value) is expected or (expected is Permanent and isinstance(error.value, troubles.Refusal))
        said = f"{error.value.message} {error.value.hint}"
        assert "dynamodb:" in said
        assert aws_front.REGION in said
        assert "\n" not in said
        assert SECRET not in said
    assert front.calls == ["DescribeTable", "CreateTable"], "the engine repeats, not we"
    assert (table in tables(front)) is done


def test_ft_22_throttling_says_how_long_to_wait() -> None:
    told = []
    for headers in ({"retry-after": "7"}, {"retry-after": "soon"}, {}):
        meta = {"HTTPStatusCode": 429, "HTTPHeaders": headers}
        error = ClientError({"Error": {"Code": "X", "Message": ""}, "ResponseMetadata": meta}, "PutItem")
        made = troubles.told(error, "AWS", "table t", "dynamodb:PutItem", wrote=True)
        assert isinstance(made, Temporary)
        told.append(made.retry_after)
    assert told == [7.0, troubles.THROTTLED_FOR, troubles.THROTTLED_FOR]


def test_nobody_listens_there(front: Front) -> None:
    asked = Client(Access(region=aws_front.REGION, endpoint="http://127.0.0.1:1"))
    for act in (look, make):
        with pytest.raises(Temporary, match="cannot be reached for dynamodb:"):
            act(asked)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (
            "User: arn:aws:sts::123456789012:assumed-role/ci/run is not authorized to perform: dynamodb:PutItem on"
            " resource: arn:aws:dynamodb:eu-central-1:123456789012:table/t because no identity-based policy allows"
            " the dynamodb:PutItem action",
            "denies dynamodb:PutItem on arn:aws:dynamodb:eu-central-1:123456789012:table/t to"
            " arn:aws:sts::123456789012:assumed-role/ci/run (no identity-based policy allows the dynamodb:PutItem action)",
        ),
        ("You are not authorized to perform this operation.", "denies dynamodb:DescribeTable on table t to"),
        ("", "denies dynamodb:DescribeTable on table t to"),
    ],
)
def test_missing_rights_name_the_action_and_the_resource(front: Front, said: str, named: str) -> None:
    front.faults = [Fault("denied", body={"Message": said})]
    with pytest.raises(troubles.Refusal) as error:
        look(client(front))
    assert named in error.value.message
    assert error.value.hint.startswith("Allow dynamodb:")
    assert error.value.code == "AccessDeniedException"


def test_nothing_is_written_in_another_account(front: Front) -> None:
    asked = client(front, account="210987654321")
    with pytest.raises(
        Permanent, match=f"account {aws_front.ACCOUNT} of AWS, and the file wants 210987654321"
    ) as error:
        make(asked, "elsewhere")
    assert "profile" in error.value.hint
    assert front.calls == ["GetCallerIdentity"]
    assert "elsewhere" not in tables(front)


def test_the_right_account_is_asked_for_once(front: Front) -> None:
    asked = client(front, account=aws_front.ACCOUNT)
    make(asked, "here")
    with pytest.raises(troubles.Refusal) as error:
        make(asked, "here")
    assert error.value.code == "ResourceInUseException"
    assert front.calls == ["GetCallerIdentity", "CreateTable", "CreateTable"]
    assert asked.account == aws_front.ACCOUNT


def test_an_account_that_cannot_be_told_writes_nothing(front: Front) -> None:
    front.faults = [Fault("error", "GetCallerIdentity")]
    with pytest.raises(Temporary):
        make(client(front, account=aws_front.ACCOUNT), "unknown")
    assert "unknown" not in tables(front)


def test_the_region_is_the_files_or_the_environments_or_an_error(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Permanent, match="which region") as error:
        Client(Access())
    assert "AWS_REGION" in error.value.hint
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Client(Access()).region == "us-east-1"
    assert Client(Access(region="eu-west-1")).region == "eu-west-1"


def test_without_credentials_it_says_whose_are_missing(
    front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for act in (look, make):
        with pytest.raises(Permanent, match="no credentials") as error:
            act(client(front))
        assert "get-caller-identity" in error.value.hint
    assert front.calls == []
    with pytest.raises(Permanent, match="The config profile \\(staging\\) could not be found"):
        client(front, profile="staging")


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        ("ExpiredTokenException", "The security token is expired", "have expired"),
        ("UnrecognizedClientException", "The security token is invalid.", "does not know who we are"),
        ("InvalidSignatureException", "Signature expired: 20 is now earlier than 21", "clock is wrong"),
        ("RequestTimeTooSkewed", "The difference is too large.", "clock is wrong"),
        ("ValidationException", "One or more values were invalid", "refuses dynamodb:DescribeTable on table t"),
    ],
)
def test_a_refusal_says_what_to_do(front: Front, code: str, said: str, told: str) -> None:
    front.faults = [Fault("refused", body={"__type": f"x#{code}", "message": said})]
    with pytest.raises(troubles.Refusal, match=told) as error:
        look(client(front))
    assert error.value.code == code


def test_a_question_that_is_wrong_is_not_sent(front: Front) -> None:
    with pytest.raises(Permanent, match="Missing required parameter"):
        client(front).read("dynamodb", "describe_table", "table t")
    assert front.calls == []


def test_all_pages_are_asked_for_and_each_may_fail(front: Front) -> None:
    for n in range(5):
        make(client(front), f"page-{n}")
    size = {"PaginationConfig": {"PageSize": 2}}
    pages = list(client(front).pages("dynamodb", "list_tables", **size))
    assert len(pages) > 2
    assert {f"page-{n}" for n in range(5)} <= {name for page in pages for name in page["TableNames"]}
    front.faults = [Fault("throttle", skip=1)]
    with pytest.raises(Temporary, match="throttles dynamodb:ListTables on the tables"):
        list(client(front).pages("dynamodb", "list_tables", "the tables", **size))


def test_an_account_is_twelve_digits_however_yaml_reads_it() -> None:
    assert Access.model_validate({"account": 123456789012}).account == "123456789012"
    assert Access.model_validate({"account": "012345678901"}).account == "012345678901"
    for wrong in (1402366273, "12345", "eu-central-1"):
        with pytest.raises(ValidationError):
            Access.model_validate({"account": wrong})


@pytest.mark.parametrize("endpoint", ["dynamodb.eu-central-1.amazonaws.com", "https://me:secret@host", "https://a b"])
def test_an_endpoint_is_an_address_without_secrets(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        Access(endpoint=endpoint)


def test_without_boto3_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["boto3"] = None
from greenroom.errors import UsageError
try:
    import greenroom.adapters.aws.client
except UsageError as error:
    print(error.hint)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert out.stdout.strip() == "`pip install 'greenroom[aws]'`", out.stderr
