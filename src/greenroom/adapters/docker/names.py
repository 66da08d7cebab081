"""Names of images, as people write them and as Docker shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HUB = "docker.io"


@dataclass(frozen=True, slots=True)
class Name:
    """`registry.example/shop:1.2` or `…@sha256:…`. `repository`: as Docker shows it, without tag and digest."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Name:
        whole, _, digest = text.partition("@")
        path, colon, tag = whole.rpartition(":")
        if not colon or "/" in tag:
            path, tag = whole, ""
        return cls(_familiar(path), tag or ("" if digest else "latest"), digest)

    @property
    def registry(self) -> str:
        first, slash, _ = self.repository.partition("/")
        return first if slash and ("." in first or ":" in first or first == "localhost") else HUB

    @property
    def hub(self) -> bool:
        return self.registry == HUB

    def at(self, digest: str) -> str:
        """The same repository, exactly this image: what can never come to mean another one."""
        return f"{self.repository}@{digest}"

    def digest_in(self, repo_digests: Sequence[str] | None) -> str:
        """Of an image's RepoDigests, the digest that it has in this repository; "" if it was never there."""
        for text in repo_digests or ():
            repository, _, digest = text.partition("@")
            if _familiar(repository) == self.repository and digest:
                return digest
        return ""

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_id(reference: str) -> bool:
    """An image of this machine alone, by its id; it never was in a registry."""
    return reference.startswith("sha256:")


def short(reference: str) -> str:
    """For people: as much of a digest as Docker itself shows."""
    before, colon, digest = reference.rpartition("sha256:")
    return f"{before}{colon}{digest[:12]}" if colon else reference


def _familiar(repository: str) -> str:
    """Without what stands for Docker Hub anyway."""
    for prefix in ("index.docker.io/", "docker.io/"):
        repository = repository.removeprefix(prefix)
    return repository.removeprefix("library/")
