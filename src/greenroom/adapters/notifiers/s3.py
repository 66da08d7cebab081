"""The notifier `s3`: what is left of a release, kept in a bucket: picture, measurements, a failed candidate's output."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.notifiers.settings import Kind, NotifierSettings
from greenroom.domain.model import Event
from greenroom.domain.template import fill
from greenroom.errors import Permanent, PortError
from greenroom.ports import Place

ENDS: tuple[Kind, ...] = ("succeeded", "aborted", "rolled_back", "rehearsed", "failed")
LARGEST = 20_000_000
"""Bytes of one file; a longer one is left out."""

MOST = 200
"""Files of one release."""


class S3Settings(Access, NotifierSettings):
    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Its name. It is made by nobody here."
    )
    prefix: str = Field(
        default="{service}/{release}",
        description="Before the names of the files; `{service}`, `{release}` and `{version}` are filled in.",
    )
    on: list[Kind] | None = Field(default=list(ENDS), description="The kinds of event to keep; the ends if absent.")

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, text: str) -> str:
        bare = fill(text, dict.fromkeys(("service", "release", "version"), "x"))
        if "{" in bare or bare.startswith("/") or "//" in bare or len(bare) > 500:
            raise ValueError("should be like `releases/{service}/{release}`: no `/` before it, and no other `{…}`")
        if "{release}" not in text:
            raise ValueError("lacks `{release}`: each release would be written over the one before")
        return text.rstrip("/")


class S3Notifier:
    """`ports.Notifier`. Told again, it writes the same files over themselves."""

    Settings: ClassVar[type[S3Settings]] = S3Settings

    def __init__(self, settings: S3Settings, place: Place) -> None:
        self._settings, self._state = settings, place.state
        self.name = settings.name or "s3"
        self.on: frozenset[str] | None = settings.kinds

    @cached_property
    def _client(self) -> Client:
        return Client(self._settings)

    @staticmethod
    def problems(settings: S3Settings, place: Place) -> list[str]:
        """Asked before a deploy, so that what is to be kept has where to go."""
        try:
            client = Client(settings)
            client.confirm()
            client.read("s3", "get_bucket_location", f"the bucket {settings.bucket}", Bucket=settings.bucket)
        except PortError as error:
            return [f"{error.message}{' ' + error.hint if error.hint else ''}"]
        return []

    def notify(self, event: Event) -> None:
        names = {"service": event.service, "release": event.release, "version": event.version}
        prefix = fill(self._settings.prefix, names)
        if not event.release:
            return
        for path, name in list(_files(self._state, event.release))[:MOST]:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise Permanent(f"{path} cannot be read: {error.strerror}.") from error
            self._put(f"{prefix}/{name}", content, mimetypes.guess_type(name)[0] or "text/plain; charset=utf-8")
        self._put(f"{prefix}/{event.kind}.json", _document(event), "application/json")

    def _put(self, key: str, content: bytes, kind: str) -> None:
        about = f"{key} in the bucket {self._settings.bucket}"
        self._client.write(
            "s3", "put_object", about, Bucket=self._settings.bucket, Key=key, Body=content, ContentType=kind
        )


def _files(state: Path, release: str) -> Iterator[tuple[Path, str]]:
    """What the engine keeps of a release in the state folder, and what it is called in the bucket."""
    plain = release.replace("/", "_")
    for path in sorted((state / "pictures").glob(f"{plain}.svg")):
        yield path, "picture.svg"
    for path in sorted((state / "measurements").glob(f"{plain}.*")):
        yield path, f"measurements{path.suffix}"
    folder = state / "failed" / plain
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= LARGEST:
            yield path, f"failed/{path.relative_to(folder).as_posix()}"


def _document(event: Event) -> bytes:
    facts = {"kind": event.kind, "text": event.text, "at": event.at, "version": event.version, **event.facts}
    return json.dumps({"service": event.service, "release": event.release, **facts}, indent=1, default=str).encode()
