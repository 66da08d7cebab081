"""The DynamoDB table under a journal: what its items look like, made on request, and its troubles put into words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.hearing import Heard
from greenroom.adapters.aws.troubles import Refusal
from greenroom.adapters.journals.dynamodb_items import (
    FORMAT,
    HEAD,
    Head,
    Item,
    Row,
    head_of,
    key,
    of_head,
    of_row,
    place,
    rows_of,
)
from greenroom.adapters.journals.store import SAFE
from greenroom.errors import (
    JournalCorrupt,
    JournalMissing,
    JournalNewer,
    JournalUnusable,
    Permanent,
    PortError,
    Temporary,
)

MOST_ITEMS, MOST_CHARACTERS = 99, 950_000
"""Of one append: DynamoDB writes 100 items and 4 MB at once, and a character may have four bytes."""


class Table:
    """What one service has in the table. Each call asks once, but for what is said of it. Raises `Temporary`, `Uncertain`
    and, for what does not pass by itself, `JournalUnusable` in its several kinds.
    """

    def __init__(self, client: Client, name: str, service: str, clock: Heard, steady: Callable[[], float]) -> None:
        self._client, self._name, self._service = client, name, service
        self._clock, self._steady = clock, steady

    def __str__(self) -> str:
        return f"table {self._name} in {self._client.region}"

    def head(self) -> Head | None:
        """None: this service has nothing in it."""
        found = self._read("get_item", Key=key(self._service, HEAD), ConsistentRead=True).get("Item")
        if found is None:
            return None
        try:
            written, head = int(found["format"]["N"]), head_of(found)
        except (KeyError, ValueError, TypeError) as error:
            raise self.damaged(f"the head of {self._service}: {error!r}") from None
        if written > FORMAT:
            raise JournalNewer(
                f"The journal in the {self} has format {written}, of a newer Greenroom; this one knows {FORMAT}.",
                hint=f"{SAFE} Use the Greenroom that wrote it, or a newer one.",
            )
        return head

    def rows(self, after: int, last: int) -> list[Row] | None:
        """The entries between, complete. None: some are not there (yet)."""
        items = self._items(after, last)
        try:
            rows = rows_of(items)
        except (KeyError, ValueError, TypeError) as error:
            raise self.damaged(f"an entry of {self._service} after {after}: {error!r}") from None
        return rows if [row.seq for row in rows] == list(range(after + 1, last + 1)) else None

    def swap(self, seen: Head, wanted: Head, rows: Sequence[Row] = ()) -> bool:
        """All of it, if nobody has written since `seen`; else nothing, and False."""
        update = self._update(seen, wanted)
        items = [item for row in rows for item in of_row(self._service, row)]
        if len(items) > MOST_ITEMS or sum(len(row.body) for row in rows) > MOST_CHARACTERS:
            raise JournalUnusable(
                f"The journal in the {self} cannot take {len(rows)} records at once, in {len(items)} items.",
                hint=f"{SAFE} DynamoDB writes {MOST_ITEMS + 1} items and 4 MB at once, and nothing of this was written.",
            )
        puts = [self._put(item) for item in items]
        try:
            if puts:
                self._write("transact_write_items", TransactItems=[{"Update": update}, *puts])
            else:
                self._write("update_item", **update)
        except Refusal as refusal:
            if _overtaken(refusal):
                return False
            raise self.unusable(refusal) from refusal
        return True

    def begin(self, head: Head) -> None:
        """This service's place; nothing if it is there."""
        item = key(self._service, HEAD) | of_head(head) | {"format": {"N": str(FORMAT)}}
        try:
            self._write("put_item", Item=item, ConditionExpression="attribute_not_exists(service)")
        except Refusal as refusal:
            if not _overtaken(refusal):
                raise self.unusable(refusal) from refusal

    def make(self) -> None:
        """The table, with nothing to pay for while it is not used; nothing if there is one. It is ready some time later."""
        try:
            self._write(
                "create_table",
                KeySchema=[
                    {"AttributeName": "service", "KeyType": "HASH"},
                    {"AttributeName": "item", "KeyType": "RANGE"},
                ],
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("service", "item")],
                BillingMode="PAY_PER_REQUEST",
            )
        except Refusal as refusal:
            if refusal.code != "ResourceInUseException":
                raise self.unusable(refusal) from refusal

    def ready(self) -> bool:
        return bool(self._read("describe_table")["Table"]["TableStatus"] == "ACTIVE")

    def protect(self) -> bool:
        """Keep what was in it at every moment of the last 35 days. False: it cannot be told so yet."""
        wanted = {"PointInTimeRecoveryEnabled": True}
        try:
            self._write("update_continuous_backups", PointInTimeRecoverySpecification=wanted)
        except Refusal as refusal:
            # So says a table that was made a moment ago.
            if refusal.code != "ContinuousBackupsUnavailableException":
                raise self.unusable(refusal) from refusal
            return False
        return True

    # --- in words -----------------------------------------------------------------------------------------------

    def unusable(self, error: PortError) -> JournalUnusable:
        """What came of it for the journal, and the way out."""
        code = error.code if isinstance(error, Refusal) else ""
        if code == "ResourceNotFoundException":
            return self.missing()
        if code == "ValidationException" and "key element" in error.message:
            return JournalUnusable(
                f"The {self} is no journal: its keys are not `service` and `item`.",
                hint=f"{SAFE} Name another one in journal.table.",
            )
        return JournalUnusable(f"The journal in the {self}: {error.message}", hint=f"{SAFE} {error.hint}".strip())

    def missing(self) -> JournalMissing:
        return JournalMissing(f"There is no {self}: nothing was ever recorded here.")

    def absent(self) -> JournalUnusable:
        return JournalUnusable(
            f"There is no {self}, and Greenroom may not make it.",
            hint="Set `create: true` in `journal:`, or make it yourself: keys `service` and `item`, both texts.",
        )

    def unbegun(self) -> JournalMissing:
        return JournalMissing(f"There is no journal of {self._service} in the {self}: nothing was ever recorded here.")

    def damaged(self, detail: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"The journal in the {self} is damaged, or not a journal: {detail.rstrip('.')}.",
            hint=f"{SAFE} Restore the table to a moment before (point-in-time recovery), or name another one in"
            " journal.table to begin a new one.",
        )

    def _items(self, after: int, last: int) -> list[Any]:
        """Page after page: one holds 1 MB."""
        between = {":s": {"S": self._service}, ":a": {"S": place(after + 1)}, ":z": {"S": f"{place(last)}~"}}
        question: dict[str, Any] = {
            "KeyConditionExpression": "#s = :s AND #i BETWEEN :a AND :z",
            "ExpressionAttributeNames": {"#s": "service", "#i": "item"},
            "ExpressionAttributeValues": between,
            "ConsistentRead": True,
        }
        items: list[Any] = []
        while True:
            page = self._read("query", **question)
            items += page.get("Items", [])
            if not page.get("LastEvaluatedKey"):
                return items
            question["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _put(self, item: Item) -> Mapping[str, Any]:
        """An entry is never written over."""
        put = {"TableName": self._name, "Item": item, "ConditionExpression": "attribute_not_exists(service)"}
        return {"Put": put}

    def _update(self, seen: Head, wanted: Head) -> dict[str, Any]:
        values = of_head(wanted)
        found = {":seen": {"N": str(seen.rev)}, ":expected": {"N": str(seen.last)}, ":held": {"N": str(seen.epoch)}}
        return {
            "TableName": self._name,
            "Key": key(self._service, HEAD),
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in values),
            "ConditionExpression": "#rev = :seen AND #last = :expected AND #epoch = :held",
            "ExpressionAttributeNames": {f"#{name}": name for name in values},
            "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()} | found,
        }

    # --- requests -----------------------------------------------------------------------------------------------

    def _read(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        sent = self._steady()
        try:
            answer = self._client.read("dynamodb", operation, str(self), TableName=self._name, **parameters)
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            self._clock.hear(str(headers.get("date", "")), sent)
        except Permanent as error:
            raise self.unusable(error) from error
        return answer

    def _write(self, operation: str, **parameters: Any) -> None:
        """A `Refusal` is for the caller to understand."""
        named = {} if operation == "transact_write_items" else {"TableName": self._name}
        try:
            self._client.write("dynamodb", operation, str(self), **{**named, **parameters})
        except Refusal:
            raise
        except Permanent as error:
            raise self.unusable(error) from error


def _overtaken(refusal: Refusal) -> bool:
    """Somebody wrote first, or writes at this moment. `Temporary` if it is too much for the table."""
    if refusal.code in ("ConditionalCheckFailedException", "TransactionConflictException"):
        return True
    reasons = {str(reason.get("Code")) for reason in refusal.answer.get("CancellationReasons", [])} - {"None"}
    if reasons & {"ThrottlingError", "ProvisionedThroughputExceeded"}:
        raise Temporary(refusal.message, hint="Others ask too much of it.") from refusal
    return bool(reasons & {"ConditionalCheckFailed", "TransactionConflict"})
