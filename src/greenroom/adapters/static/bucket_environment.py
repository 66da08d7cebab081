"""The environment `static` in a bucket: a colour is a small object that names the version, replaced on a condition."""

from __future__ import annotations

from functools import partial

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.glance import Glance
from greenroom.adapters.static.asked import Asked
from greenroom.adapters.static.objects import Clash, Held, Objects
from greenroom.adapters.static.settings import EnvironmentSettings
from greenroom.adapters.static.shelf import Shelf
from greenroom.adapters.static.standing import Standing, read_standing, status
from greenroom.domain.model import Colour, EnvironmentSpec, EnvironmentStatus, Role
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Place


class InBucket:
    """`client`: given by tests."""

    def __init__(self, settings: EnvironmentSettings, place: Place, client: Asked | None = None) -> None:
        objects = Objects(client or Client(settings.access), settings.bucket)
        self._shelf = Shelf(objects, settings.below(place.service))
        self._glances = {colour: Glance(partial(self._look, colour)) for colour in Colour}

    def anew(self) -> None:
        for glance in self._glances.values():
            glance.anew()

    def observe(self, colour: Colour) -> EnvironmentStatus:
        return self._glances[colour].see()

    def _look(self, colour: Colour) -> EnvironmentStatus:
        _, standing = self._standing(colour)
        if standing is None or not standing.id:
            return EnvironmentStatus(colour)
        mark = self._shelf.mark(standing.id)
        where = self._shelf.names.reference(self._shelf.objects.bucket, standing.id)
        wrong = "" if mark and mark.release == standing.release else f"{where} is not whole: deploy that version again"
        return status(colour, standing, wrong)

    def _standing(self, colour: Colour) -> tuple[Held | None, Standing | None]:
        held = self._shelf.objects.get(self._shelf.names.colour(colour))
        standing = read_standing(held.content) if held else None
        if held is not None and standing is None:
            key = self._shelf.names.colour(colour)
            raise Permanent(f"s3://{self._shelf.objects.bucket}/{key} is damaged", hint="delete it, and deploy again")
        return held, standing

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        names, bucket = self._shelf.names, self._shelf.objects.bucket
        version = spec.artefact.rpartition("/")[2]
        if spec.artefact != names.reference(bucket, version):
            raise Permanent(
                f"{spec.release} was published as {spec.artefact}, which is not in s3://{bucket}/{names.prefix}",
                hint="after `bucket` or `prefix` was changed, deploy that version again",
            )
        self._replace(colour, Standing.of(spec, version, key.epoch))

    def remove(self, colour: Colour, key: ActionKey) -> None:
        """What remains says under which lease nothing is there."""
        _, standing = self._standing(colour)
        if standing is not None:
            self._replace(colour, Standing("", "", "", Role.IDLE, key.epoch))

    def _replace(self, colour: Colour, standing: Standing) -> None:
        held, before = self._standing(colour)
        if before is not None and before.epoch > standing.epoch:
            raise Permanent(
                f"{colour} was changed under a newer lease ({before.epoch}) than ours ({standing.epoch})",
                hint="another Greenroom is in charge now; this one has to stop",
            )
        if before == standing:
            return
        try:
            self._shelf.objects.put(
                self._shelf.names.colour(colour), standing.dumps(), held, ContentType="application/json"
            )
        except Clash:
            raise Temporary(f"somebody else is changing {colour}", retry_after=0.5) from None
        finally:
            self.anew()
