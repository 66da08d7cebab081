"""`type: static` in `environment:` and `router:`: a folder that any web server serves, or a bucket behind CloudFront."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from greenroom.adapters.aws.access import Access
from greenroom.adapters.settings import Env, Section, read_definition
from greenroom.domain.model import Document
from greenroom.ports import Place
from greenroom.units import Seconds

ROOT = "/var/www/{service}"
MARK = "greenroom.json"
"""The file in each version that tells which one it is."""
_BUCKET = r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$"


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise ValueError("must be a path inside, without `..`")
    return path.strip("/") or "."


def _prefix(path: str) -> str:
    path = path.strip("/")
    if path and not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", path):
        raise ValueError("letters, digits, `_`, `.`, `-`, and `/` between them")
    return path


def _root(path: str) -> str:
    if path and (not path.isprintable() or path.strip("/.") == ""):
        raise ValueError("must be a folder of its own, like /var/www/shop")
    return path


def _url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("must be like https://shop.example")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class Shelf(Access):
    """Where the versions are: environment and router name the same place."""

    root: Annotated[str, AfterValidator(_root)] = Field(
        default="",
        description="The folder of the versions on this machine; the web server serves `live` in it. A short path is "
        "relative to this file. Default: `/var/www/SERVICE`.",
    )
    bucket: str = Field(
        default="", pattern=_BUCKET, description="Or: the S3 bucket of the versions, behind CloudFront."
    )
    prefix: Prefix = Field(default="", description="In the bucket; default: the service's name.")

    @model_validator(mode="after")
    def _one_place(self) -> Shelf:
        if self.root and self.bucket:
            raise ValueError("has `root` and `bucket`; the versions are in one of them")
        alone = [key for key in ("prefix", "region", "account", "profile", "endpoint") if getattr(self, key)]
        if alone and not self.bucket:
            raise ValueError(f"has `{alone[0]}` without `bucket`")
        return self

    def folder(self, place: Place) -> str:
        """Whole."""
        root = self.root or ROOT.format(service=place.service)
        return os.path.normpath(place.file.absolute().parent / root)

    def below(self, service: str) -> str:
        return self.prefix or service

    @property
    def access(self) -> Access:
        return Access(region=self.region, account=self.account, profile=self.profile, endpoint=self.endpoint)


class EnvironmentSettings(Shelf):
    UNFILLED: ClassVar[frozenset[str]] = frozenset({"env", "prepare"})
    """Here `${NAME}` stays as it is written: values are filled in for `prepare` alone."""

    source: str = Field(default=".", description="The folder that is copied per release.")
    exclude: tuple[str, ...] = Field(
        default=(), description="What is not copied: names or paths, `*` allowed. Version control never is."
    )
    prepare: tuple[str, ...] = Field(
        default=(), description="Shell commands, run once in the copy: `npm ci`, `npm run build`."
    )
    env: Env = Field(default={}, description="Variables of `prepare`; of the shell only PATH, HOME and the like.")
    publish: Annotated[str, AfterValidator(_inside)] = Field(
        default=".",
        description="The folder in the copy that is published, after `prepare`: `dist`. It holds index.html.",
    )
    hashed: tuple[str, ...] = Field(
        default=(),
        description="Files whose name changes with their content, `*` allowed: they are kept for open pages, and cached "
        "for ever. Default: names that hold a hash, as bundlers write them.",
    )
    keep_assets: int = Field(
        default=5, ge=0, le=100, description="Of how many releases before, hashed files can still be fetched."
    )
    keep_releases: int = Field(
        default=10, ge=3, le=1000, description="How many versions stay; what a colour holds always stays."
    )
    cache_hashed: str = Field(
        default="public, max-age=31536000, immutable",
        max_length=200,
        description="`Cache-Control` of hashed files in the bucket.",
    )
    cache: str = Field(
        default="no-cache", max_length=200, description="`Cache-Control` of all other files in the bucket."
    )
    prepare_timeout: Seconds = Field(default=1800.0, description="How long copying, `prepare` and publishing may take.")


class TestRoute(Section):
    url: Url = Field(description="Where the web server serves `idle` in the root; with CloudFront, its address.")
    distribution: str = Field(
        default="",
        pattern=r"^[A-Z0-9]*$",
        description="A CloudFront distribution of its own, which only ever serves the candidate.",
    )


class RouterSettings(Shelf):
    url: Url = Field(
        default="", description="Where users ask. What is live is asked there; without it, the link is believed."
    )
    test_route: TestRoute | None = Field(default=None, description="Where the idle version is asked, for checks.")
    distribution: str = Field(
        default="", pattern=r"^[A-Z0-9]*$", description="With `bucket`: the CloudFront distribution."
    )
    origin: str = Field(
        default="", description="Which of its origins is switched. Default: the only one that is this bucket."
    )
    edges: Seconds = Field(
        default=900.0, description="How long CloudFront may take until every edge has a change; then it is taken back."
    )
    invalidate: tuple[str, ...] = Field(
        default=("/*",),
        description="Paths that CloudFront forgets after a switch; `[]` if everything unhashed is `no-cache`.",
    )

    @model_validator(mode="after")
    def _whole(self) -> RouterSettings:
        if bool(self.bucket) != bool(self.distribution):
            raise ValueError("`bucket` and `distribution` belong together: one of them is missing")
        if not self.bucket and (self.origin or (self.test_route and self.test_route.distribution)):
            raise ValueError("has an origin or distribution of CloudFront without `bucket`")
        if self.test_route and self.distribution and self.test_route.distribution == self.distribution:
            raise ValueError("`test_route.distribution` must be another one than `distribution`")
        if self.test_route and self.url and self.test_route.url == self.url:
            raise ValueError("`test_route.url` must be another address than `url`")
        if wrong := [path for path in self.invalidate if not path.startswith("/")]:
            raise ValueError(f"`invalidate`: {wrong[0]!r} does not begin with /")
        return self


def of_definition(definition: Document, secrets: Mapping[str, str]) -> EnvironmentSettings:
    """The settings that a release was made with. `Permanent` if this Greenroom cannot read them any more."""
    return read_definition(EnvironmentSettings, definition, secrets)
