"""The artefact `static`: a copy of the source, prepared, and published under a name of its own; then the copy goes.

`.greenroom/artefacts/RELEASE/` holds the order, the job and its log, as for `process`. The version itself is in the folder
of the versions, or in the bucket, and is never changed again: the reference names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from greenroom.adapters.artefacts.process import ProcessArtefact
from greenroom.adapters.static.disk import Disk
from greenroom.adapters.static.local import forget
from greenroom.adapters.static.making import VENDOR
from greenroom.adapters.static.root import Root
from greenroom.adapters.static.settings import EnvironmentSettings, of_definition
from greenroom.domain.model import ArtefactSpec, Document
from greenroom.errors import Temporary
from greenroom.ports import ActionKey, Place

BUCKET = "s3://"


class StaticArtefact(ProcessArtefact):
    Settings: ClassVar[Any] = EnvironmentSettings
    MAKER: ClassVar[str] = "greenroom.adapters.static.making"

    def __init__(self, settings: EnvironmentSettings, place: Place) -> None:
        super().__init__(settings, place)
        self._settings = settings

    def remove(self, release: str, key: ActionKey) -> None:
        """With its versions, unless a colour holds them; what others keep of it stays with them."""
        super().remove(release, key)
        if self._settings.bucket:
            from greenroom.adapters.static.upload import forget_release

            forget_release(self._settings, self.place.service, release)
            return
        root = Root(self._settings.folder(self.place), self.place.service)
        root.claimed()
        try:
            for manifest in root.manifests():
                if manifest.release == release:
                    forget(root, manifest.id, Disk())
        except OSError as error:
            raise Temporary(f"{release} cannot be removed: {error.strerror}: {error.filename}") from None

    def _read(self, definition: Document, values: Mapping[str, str]) -> EnvironmentSettings:
        return of_definition(definition, values)

    def _order(self, spec: ArtefactSpec, settings: Any) -> dict[str, Any]:
        own: EnvironmentSettings = settings
        service = self.place.service
        wanted = {
            "service": service,
            "release": spec.release,
            "version": spec.version,
            "keep_assets": own.keep_assets,
            "keep_releases": own.keep_releases,
        }
        bucket = own.model_dump(include=set(_OF_THE_BUCKET)) | {"prefix": own.below(service)} if own.bucket else None
        static = {
            "wanted": wanted,
            "publish": own.publish,
            "hashed": list(own.hashed),
            "root": own.folder(self.place),
            "bucket": bucket,
            "env": list(own.env),
        }
        return {"static": static}

    def _environment(
        self, spec: ArtefactSpec, settings: Any, values: Mapping[str, str], filled: Mapping[str, str]
    ) -> dict[str, str]:
        """Who we are on AWS is for the upload; the maker takes it away from `prepare`."""
        own = {name: value for name, value in os.environ.items() if name.startswith(VENDOR)} if settings.bucket else {}
        return {**own, **super()._environment(spec, settings, values, filled)}

    def _stands(self, folder: Path, reference: str) -> bool:
        """A version in a bucket is looked at by its environment."""
        return reference.startswith(BUCKET) or super()._stands(folder, reference)

    def _named(self, folder: Path, reference: str) -> str:
        return reference if reference.startswith(BUCKET) else super()._named(folder, reference)


_OF_THE_BUCKET = ("bucket", "region", "account", "profile", "endpoint", "cache", "cache_hashed")
