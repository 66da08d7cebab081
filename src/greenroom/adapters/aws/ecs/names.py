"""How images, task definitions and releases are called on AWS, and how an artefact names what it consists of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.errors import Permanent

_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[a-z0-9][a-z0-9._/-]*)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
PREFIX = "greenroom:"
_TAGGED = re.compile(r"[\w .:/=+@-]{0,256}")


@dataclass(frozen=True, slots=True)
class EcrImage:
    registry: str
    region: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def of(cls, image: str) -> EcrImage | None:
        """None: it is in another registry."""
        found = _ECR.fullmatch(image)
        if found is None:
            return None
        tag = found["tag"] or ("" if found["digest"] else "latest")
        return cls(found["registry"], found["region"], found["repository"], tag, found["digest"] or "")


def digest_of(image: str) -> str:
    """The digest that it is pinned to, "" if it is not."""
    return image.partition("@")[2]


def at(image: str, digest: str) -> str:
    """The same image, by its digest; without its tag, which means nothing then."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}"


def short(arn: str) -> str:
    """`family:revision` of a task definition; the id of a task, the name of a service."""
    return arn.rpartition("/")[2]


def group_name(arn: str) -> str:
    """The name of a target group: `…:targetgroup/NAME/ID`."""
    parts = arn.split("/")
    return parts[1] if len(parts) == 3 else arn


def tag_value(text: str, what: str) -> str:
    """`Permanent` if it cannot stand in a tag as it is."""
    if not _TAGGED.fullmatch(text):
        raise Permanent(
            f"{what} {text[:80]!r} cannot stand in a tag of AWS.",
            hint="Letters, digits, spaces and `. : / = + @ - _`, at most 256 of them.",
        )
    return text


@dataclass(frozen=True, slots=True)
class Reference:
    """`main`: the ARN of what gets the traffic. `workers`: by process. `digest`: of the image, "" if it is not pinned."""

    main: str
    digest: str = ""
    workers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        pinned = f"{self.main}@{self.digest}" if self.digest else self.main
        return " ".join((pinned, *(f"{name}={arn}" for name, arn in self.workers.items())))

    @classmethod
    def parse(cls, text: str) -> Reference:
        first, *others = text.split()
        main, _, digest = first.partition("@")
        workers = dict(other.split("=", 1) for other in others)
        return cls(main, digest, workers)

    def of(self, process: str) -> str:
        """`Permanent`, if the release was made without it."""
        found = self.workers.get(process)
        if found is None:
            raise Permanent(
                f"the release was made without a task definition for {process}", hint="deploy its version anew"
            )
        return found
