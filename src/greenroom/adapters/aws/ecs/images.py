"""Which image a version is: asked of ECR, and pinned to its digest before anything is registered."""

from __future__ import annotations

from greenroom.adapters.aws.access import Access
from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.names import EcrImage, at, digest_of
from greenroom.adapters.aws.troubles import Refusal
from greenroom.errors import Permanent

_MISSING = {"ImageNotFoundException", "RepositoryNotFoundException"}


def pinned(client: Client, access: Access, image: str) -> str:
    """The image by its digest. As it is written where it names one, or is in a registry that we cannot ask."""
    ecr = EcrImage.of(image)
    if ecr is None:
        return image
    asked = client if ecr.region == client.region else Client(access.model_copy(update={"region": ecr.region}))
    wanted = {"imageDigest": ecr.digest} if ecr.digest else {"imageTag": ecr.tag}
    try:
        said = asked.read(
            "ecr",
            "describe_images",
            f"the repository {ecr.repository}",
            registryId=ecr.registry,
            repositoryName=ecr.repository,
            imageIds=[wanted],
        )
    except Refusal as error:
        if error.code not in _MISSING:
            raise
        what = "repository" if error.code.startswith("Repository") else "image"
        raise Permanent(
            f"There is no {what} {ecr.repository if what == 'repository' else image} in the registry {ecr.registry} "
            f"({ecr.region}).",
            hint="Push it first, or correct `image`.",
        ) from None
    details = said.get("imageDetails") or ()
    if not details:
        raise Permanent(f"There is no image {image} in ECR.", hint="Push it first, or correct `image`.")
    return at(image, str(details[0]["imageDigest"]))


def unpinned(image: str) -> str:
    """What people should know of an image that can change under its name; "" for one that cannot."""
    if digest_of(image):
        return ""
    return f"{image} is not pinned: its registry is not ECR, and a tag can move; write it with its digest to be sure"
