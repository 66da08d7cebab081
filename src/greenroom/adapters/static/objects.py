"""Objects in one bucket: nothing is overwritten but on the condition that it is what was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError

from greenroom.adapters.aws.troubles import Refusal
from greenroom.adapters.static.asked import Asked
from greenroom.errors import Temporary

_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_CLASH = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_AT_ONCE = 1000
"""Keys that one request may delete."""


class Clash(Exception):
    """It is another one by now, or there already."""


@dataclass(frozen=True, slots=True)
class Entry:
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Held:
    """A small object, and the tag by which it may be replaced."""

    content: bytes
    etag: str


class Objects:
    def __init__(self, client: Asked, bucket: str) -> None:
        self._client, self.bucket = client, bucket

    def get(self, key: str) -> Held | None:
        """None if it is not there."""
        try:
            answer = self._client.read("s3", "get_object", self._about(key), Bucket=self.bucket, Key=key)
        except Refusal as refusal:
            if refusal.code in _ABSENT:
                return None
            raise
        try:
            return Held(answer["Body"].read(), answer["ETag"])
        except (BotoCoreError, OSError) as error:
            raise Temporary(f"{self._about(key)} cannot be read to its end: {error}") from error

    def content(self, key: str) -> bytes | None:
        held = self.get(key)
        return held.content if held else None

    def put(self, key: str, content: Any, before: Held | None = None, **headers: Any) -> str:
        """Its tag. In the place of `before`, or where nothing is; else `Clash`."""
        condition = {"IfMatch": before.etag} if before else {"IfNoneMatch": "*"}
        about = self._about(key)
        try:
            answer = self._client.write(
                "s3", "put_object", about, Bucket=self.bucket, Key=key, Body=content, **condition, **headers
            )
        except Refusal as refusal:
            if refusal.code in _CLASH or (before and refusal.code in _ABSENT):
                raise Clash(about) from None
            raise
        return str(answer["ETag"])

    def copy(self, source: str, target: str) -> bool:
        """Within the bucket, with all its headers. False where the source is not there; nothing where the target is."""
        try:
            self._client.write(
                "s3",
                "copy_object",
                self._about(target),
                Bucket=self.bucket,
                Key=target,
                CopySource={"Bucket": self.bucket, "Key": source},
                IfNoneMatch="*",
            )
        except Refusal as refusal:
            if refusal.code in _CLASH:
                return True
            if refusal.code in _ABSENT:
                return False
            raise
        return True

    def list(self, prefix: str) -> dict[str, Entry]:
        """By the key without the prefix."""
        found: dict[str, Entry] = {}
        more: dict[str, Any] = {}
        while True:
            page = self._client.read(
                "s3", "list_objects_v2", self._about(prefix), Bucket=self.bucket, Prefix=prefix, **more
            )
            for one in page.get("Contents", ()):
                found[one["Key"].removeprefix(prefix)] = Entry(int(one["Size"]), one["ETag"])
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, keys: Iterable[str]) -> None:
        """What is not there is no error."""
        names = sorted(keys)
        for begin in range(0, len(names), _AT_ONCE):
            some = [{"Key": name} for name in names[begin : begin + _AT_ONCE]]
            answer = self._client.write(
                "s3", "delete_objects", f"bucket {self.bucket}", Bucket=self.bucket, Delete={"Objects": some}
            )
            for error in answer.get("Errors", ())[:1]:
                raise Temporary(f"{self._about(error['Key'])} cannot be deleted: {error['Code']}: {error['Message']}")

    def _about(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"
