"""CloudFront, as far as a static front end needs it: where an origin points, on a condition, and what edges forget."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greenroom.adapters.aws.troubles import Refusal
from greenroom.adapters.static.asked import Asked
from greenroom.errors import Permanent, Temporary

_CLASH = frozenset({"PreconditionFailed", "InvalidIfMatchVersion"})


@dataclass(frozen=True, slots=True)
class Pointed:
    """One distribution. `path`: of the origin that is switched. `deployed`: every edge has what stands here."""

    path: str
    deployed: bool
    enabled: bool
    etag: str
    config: Mapping[str, Any] = field(repr=False, default_factory=dict)


class Cdn:
    def __init__(self, client: Asked, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def look(self, distribution: str, origin: str) -> Pointed:
        """One call."""
        answer = self._client.read("cloudfront", "get_distribution", _about(distribution), Id=distribution)
        found = answer["Distribution"]
        config = found["DistributionConfig"]
        one = self._origin(config, distribution, origin)
        deployed = found["Status"] == "Deployed"
        return Pointed(one.get("OriginPath", ""), deployed, bool(config["Enabled"]), answer["ETag"], config)

    def _origin(self, config: Mapping[str, Any], distribution: str, origin: str) -> dict[str, Any]:
        """The one that is switched; `Permanent` where that is not clear."""
        items: Sequence[dict[str, Any]] = config["Origins"]["Items"]
        ours = [one for one in items if one["DomainName"].split(".s3")[0] == self._bucket]
        found = [one for one in items if one["Id"] == origin] if origin else ours
        if len(found) == 1:
            return found[0]
        known = ", ".join(one["Id"] for one in items)
        if origin:
            raise Permanent(f"distribution {distribution} has no origin {origin!r}", hint=f"`origin:` one of: {known}")
        what = "no origin" if not ours else "several origins"
        raise Permanent(
            f"distribution {distribution} has {what} of the bucket {self._bucket}", hint=f"name it in `origin`: {known}"
        )

    def point(self, distribution: str, origin: str, path: str, seen: Pointed) -> None:
        """To this path, unless somebody has changed the distribution since it was `seen`: `Temporary` then."""
        about = _about(distribution)
        config = copy.deepcopy(dict(seen.config))
        self._origin(config, distribution, origin)["OriginPath"] = path
        try:
            self._client.write(
                "cloudfront",
                "update_distribution",
                about,
                Id=distribution,
                IfMatch=seen.etag,
                DistributionConfig=config,
            )
        except Refusal as refusal:
            if refusal.code in _CLASH:
                raise Temporary(f"somebody else is changing {about}", retry_after=2.0) from None
            raise

    def forget(self, distribution: str, paths: Sequence[str], reference: str) -> str:
        """Let the edges forget these paths; the id of that. The same reference again is the same invalidation."""
        answer = self._client.write(
            "cloudfront",
            "create_invalidation",
            _about(distribution),
            DistributionId=distribution,
            InvalidationBatch={
                "Paths": {"Quantity": len(paths), "Items": list(paths)},
                "CallerReference": reference,
            },
        )
        return str(answer["Invalidation"]["Id"])

    def forgotten(self, distribution: str, invalidation: str) -> bool:
        answer = self._client.read(
            "cloudfront", "get_invalidation", _about(distribution), DistributionId=distribution, Id=invalidation
        )
        return str(answer["Invalidation"]["Status"]).lower() == "completed"


def _about(distribution: str) -> str:
    return f"distribution {distribution}"
