"""Publishing a version into a bucket: file by file where nothing is yet, looked over, and its mark as the last.

Killed in the middle, it goes on where it was: what arrived is not sent again.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from greenroom.adapters.aws.client import Client
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.files import File, Survey, Unfit
from greenroom.adapters.static.local import Wanted
from greenroom.adapters.static.objects import Clash, Entry, Objects
from greenroom.adapters.static.patient import Patient
from greenroom.adapters.static.settings import EnvironmentSettings
from greenroom.adapters.static.shelf import Shelf
from greenroom.adapters.static.standing import read_standing
from greenroom.adapters.static.versions import Manifest, Mark, to_keep, too_many
from greenroom.domain.model import Colour

AT_ONCE = 8
"""Files on their way at the same time."""
LARGEST = 5 * 1024**3
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".avif": "image/avif",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
}.items():
    _TYPES.add_type(_type, _suffix)


def upload_patiently(order: Mapping[str, Any], survey: Survey, wanted: Wanted) -> str:
    """In a process of its own, which has time."""
    access = EnvironmentSettings.model_validate(order).access
    return upload(order, survey, wanted, Patient(Client(access)))


def upload(order: Mapping[str, Any], survey: Survey, wanted: Wanted, client: Asked | None = None) -> str:
    """The reference of the version. `order`: the bucket's settings. What was published before, whole, is taken as it is."""
    settings = EnvironmentSettings.model_validate(order)
    shelf = Shelf(Objects(client or Client(settings.access), settings.bucket), settings.prefix)
    return Upload(shelf, settings, survey, wanted).done()


class Upload:
    def __init__(self, shelf: Shelf, settings: EnvironmentSettings, survey: Survey, wanted: Wanted) -> None:
        self.shelf, self.settings, self.survey, self.wanted = shelf, settings, survey, wanted
        self.id = f"{wanted.release}-{survey.digest}"

    def done(self) -> str:
        self.shelf.claim(self.wanted.service)
        known = self.shelf.manifests()
        if self.shelf.mark(self.id) is None:
            known.append(self._publish([one for one in known if one.id != self.id]))
        held = self._held()
        self._lend(held - {self.id})
        for old in too_many(known, self.wanted.keep_releases, held | {self.id}):
            self.shelf.forget(old.id)
        return self.shelf.names.reference(self.settings.bucket, self.id)

    def _publish(self, known: list[Manifest]) -> Manifest:
        number = 1 + max((one.number for one in known), default=0)
        kept = to_keep(known, number, self.wanted.keep_assets)
        own = frozenset(file.path for file in self.survey.files if file.hashed)
        there = self.shelf.objects.list(self.shelf.names.of(self.id))
        with ThreadPoolExecutor(AT_ONCE) as workers:
            sent = dict(workers.map(lambda file: self._sent(file, there), self.survey.files))
        all_own = {file.path for file in self.survey.files}
        for path, (owner, _) in kept.items():
            if path not in all_own and path not in there:
                self.shelf.objects.copy(self.shelf.names.of(owner) + path, self.shelf.names.of(self.id) + path)
        self._look_over(sent)
        owners = {path: owner for path, (_, owner) in kept.items() if path not in own}
        manifest = Manifest(self.id, self.wanted.release, number, own, owners)
        self._put(self.shelf.names.manifest(self.id), manifest.dumps(), "application/json")
        mark = Mark(self.wanted.service, self.wanted.release, self.wanted.version, self.id)
        self._put(self.shelf.names.mark(self.id), mark.dumps(), "application/json")
        return manifest

    def _put(self, key: str, content: bytes, kind: str) -> None:
        try:
            self.shelf.objects.put(key, content, ContentType=kind, CacheControl=self.settings.cache)
        except Clash:
            return  # its name holds what it is of

    def _sent(self, file: File, there: Mapping[str, Entry]) -> tuple[str, Entry]:
        """Its path, and what is in the bucket."""
        known = there.get(file.path)
        if known is not None:
            return file.path, self._the_same(file, known)
        if file.size > LARGEST:
            raise Unfit(f"{file.path} is larger than an object may be that is sent at once (5 GB)")
        kind, encoding = _TYPES.guess_type(file.path)
        headers: dict[str, Any] = {
            "ContentType": _with_charset(kind or "application/octet-stream"),
            "CacheControl": self.settings.cache_hashed if file.hashed else self.settings.cache,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(file.sha256)).decode(),
        }
        if encoding:
            headers |= {"ContentType": "application/octet-stream"}  # a file to be fetched as it is, not unpacked
        try:
            with file.real.open("rb") as content:
                etag = self.shelf.objects.put(self.shelf.names.of(self.id) + file.path, content, **headers)
        except Clash:
            listed = self.shelf.objects.list(self.shelf.names.of(self.id) + file.path)
            return file.path, self._the_same(file, listed.get("", Entry(-1, "")))
        return file.path, Entry(file.size, etag)

    def _the_same(self, file: File, known: Entry) -> Entry:
        """`Unfit` if what is there is not this file."""
        key = self.shelf.names.of(self.id) + file.path
        if known.size == file.size and known.etag.strip('"') == file.md5:
            return known
        content = self.shelf.objects.content(key) if known.size == file.size else None  # tags of encrypted ones differ
        if content is None or content != file.real.read_bytes():
            raise Unfit(f"s3://{self.settings.bucket}/{key} is there already, and is another file: remove it")
        return known

    def _look_over(self, sent: Mapping[str, Entry]) -> None:
        """All of it has arrived as it was sent."""
        there = self.shelf.objects.list(self.shelf.names.of(self.id))
        wrong = [path for path, entry in sent.items() if there.get(path) != entry]
        if wrong:
            raise Unfit(f"{wrong[0]} is not in the bucket as it was sent ({len(wrong)} files): deploy again")

    def _held(self) -> set[str]:
        return held(self.shelf)

    def _lend(self, others: set[str]) -> None:
        """For a way back: pages of the new version that are open find its files in the colours' present versions."""
        for other in others:
            there = self.shelf.objects.list(self.shelf.names.of(other))
            for file in self.survey.files:
                if file.hashed and file.path not in there:
                    at = self.shelf.names.of
                    self.shelf.objects.copy(at(self.id) + file.path, at(other) + file.path)


def held(shelf: Shelf) -> set[str]:
    """The versions that a colour holds."""
    standings = (read_standing(shelf.objects.content(shelf.names.colour(colour))) for colour in Colour)
    return {one.id for one in standings if one is not None and one.id}


def forget_release(settings: EnvironmentSettings, service: str, release: str, client: Asked | None = None) -> None:
    """Its versions, unless a colour holds them."""
    objects = Objects(client or Client(settings.access), settings.bucket)
    shelf = Shelf(objects, settings.below(service))
    if shelf.owner() != service:
        return
    needed = held(shelf)
    for manifest in shelf.manifests():
        if manifest.release == release and manifest.id not in needed:
            shelf.forget(manifest.id)


def _with_charset(kind: str) -> str:
    textual = kind.startswith("text/") or kind in ("application/json", "image/svg+xml", "application/xml")
    return f"{kind}; charset=utf-8" if textual else kind
