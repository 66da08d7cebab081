"""The folder of the versions on this machine.

releases/ID/      a version: its files, its mark, and hashed files of the versions before, for open pages
manifests/ID.json what of it is its own
blue, green       links: what each colour holds
live              the link that a web server follows: to `blue` or `green`; to replace it is to switch
idle              the same for the test route
blue.json, …      in which role a colour was asked for
told.json         what the router was told; written before the link is replaced, and again after it
service           whose folder this is
epoch, lock       the fence (`hosts.fenced`)
publishing        held while a version is published
"""

from __future__ import annotations

import os
from pathlib import Path

from greenroom.adapters.hosts.fenced import Change, Command, Failed, put
from greenroom.adapters.hosts.local import LocalHost
from greenroom.adapters.static.settings import MARK
from greenroom.adapters.static.versions import Manifest, Mark, read_manifest, read_mark
from greenroom.domain.model import Colour
from greenroom.errors import Permanent
from greenroom.ports import Host

RELEASES, MANIFESTS, LIVE, IDLE = "releases", "manifests", "live", "idle"
TOLD, SERVICE, EPOCH, PUBLISHING = "told.json", "service", "epoch", "publishing"
_OURS = (
    '[ -e service ] || { printf %s "$1" >service.new && chmod 644 service.new && mv -f service.new service; }; '
    '[ "$(cat service)" = "$1" ]'
)


class Root:
    """`host`: this machine; tests have one that dies."""

    def __init__(self, folder: str, service: str, host: Host | None = None) -> None:
        self.folder, self.service = Path(folder), service
        self._host = host or LocalHost()

    # reading

    @property
    def there(self) -> bool:
        return self.folder.is_dir()

    def owner(self) -> str:
        """Whose it is; "" for nobody's."""
        return (self.read(SERVICE) or b"").decode(errors="replace").strip()

    def read(self, name: str) -> bytes | None:
        return self._host.read(str(self.folder / name))

    def link(self, name: str) -> str:
        """Where it leads, as it is written; "" if it is not there, and what is no link leads to itself."""
        path = self.folder / name
        try:
            return os.readlink(path)
        except FileNotFoundError:
            return ""
        except PermissionError:
            raise Permanent(f"{path} may not be read by us", hint=self._right()) from None
        except OSError:
            return name if os.path.lexists(path) else ""

    def held(self, colour: Colour) -> str:
        """The id of the version that this colour holds; "" for none."""
        folder, _, name = self.link(colour).rpartition("/")
        return name if folder == RELEASES else ""

    def mark(self, name: str) -> Mark | None:
        return read_mark(self.read(f"{RELEASES}/{name}/{MARK}"))

    def manifests(self) -> list[Manifest]:
        """Of the versions that are there."""
        folder = self.folder / MANIFESTS
        names = [path.stem for path in folder.glob("*.json") if (self.folder / RELEASES / path.stem).is_dir()]
        found = (read_manifest(self.read(f"{MANIFESTS}/{name}.json")) for name in names)
        return [manifest for manifest in found if manifest is not None]

    # changing

    def put(self, epoch: int, *changes: Change) -> None:
        """All of it under one lock, by who holds the newest lease, in a folder that is this service's.

        `Permanent` where it is not ours, may not be written, was changed under a newer lease, or where a condition (`holds`)
        does not hold.
        """
        if not self.there:
            raise Permanent(
                f"{self.folder} is not there: nothing was published in it",
                hint="look whether `root` is the same in `environment` and `router`",
            )
        ours = Command(("sh", "-c", _OURS, "sh", self.service))
        try:
            put(self._host, str(self.folder), epoch, ours, *changes)
        except Failed as error:
            self.claimed()
            raise Permanent(error.message) from None

    def claimed(self) -> None:
        """`Permanent` if it is another service's."""
        owner = self.owner()
        if owner and owner != self.service:
            raise Permanent(
                f"{self.folder} belongs to the service {owner!r}", hint="give each service a folder of its own: `root`"
            )

    def _right(self) -> str:
        return f"give it to the user that Greenroom works as: `sudo chown -R USER {self.folder}`"


def holds(condition: str, otherwise: str, *arguments: str) -> Command:
    """A condition (of the shell, with `$2`…) of what comes after it: if it fails, `otherwise` is said, and that is all."""
    script = f'{condition} || {{ printf "%s\\n" "$1" >&2; exit 1; }}'
    return Command(("sh", "-c", script, "sh", otherwise, *arguments))
