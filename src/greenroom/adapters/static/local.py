"""Publishing a version into the folder of the versions: whole or not at all, and nothing is ever overwritten."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from greenroom.adapters.static.disk import Disk
from greenroom.adapters.static.files import Survey, Unfit
from greenroom.adapters.static.root import MANIFESTS, PUBLISHING, RELEASES, Root
from greenroom.adapters.static.settings import MARK
from greenroom.adapters.static.versions import Manifest, Mark, to_keep, too_many
from greenroom.adapters.supervisor import runfiles
from greenroom.domain.model import Colour


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which release is published, and how much of others stays."""

    service: str
    release: str
    version: str
    keep_assets: int
    keep_releases: int


def publish(root: Root, survey: Survey, wanted: Wanted, disk: Disk | None = None) -> str:
    """The folder of the version. What was published before, whole, is taken as it is."""
    disk = disk or Disk()
    disk.folder(root.folder)
    root.put(_epoch(root))  # it is ours
    handle = runfiles.try_lock(str(root.folder / PUBLISHING))
    if handle is None:
        raise Unfit(f"something else is published in {root.folder} at this moment: try again when it has ended")
    try:
        return str(_published(root, survey, wanted, disk))
    finally:
        os.close(handle)


def _published(root: Root, survey: Survey, wanted: Wanted, disk: Disk) -> Path:
    name = f"{wanted.release}-{survey.digest}"
    final, manifests = root.folder / RELEASES / name, root.folder / MANIFESTS
    disk.folder(final.parent)
    disk.folder(manifests)
    _sweep(final.parent, disk)
    known = root.manifests()
    if not final.exists():
        number = 1 + max((one.number for one in known), default=0)
        kept = to_keep(known, number, wanted.keep_assets)
        own = frozenset(file.path for file in survey.files if file.hashed)
        owners = {path: owner for path, (_, owner) in kept.items() if path not in own}
        manifest = Manifest(name, wanted.release, number, own, owners)
        new = final.with_name(f".new-{name}")
        _filled(root, new, survey, kept, disk)
        mark = Mark(wanted.service, wanted.release, wanted.version, name)
        disk.write(new / MARK, mark.dumps())
        disk.write(manifests / f"{name}.json", manifest.dumps())
        disk.rename(new, final)
        known.append(manifest)
    _lend(root, final, survey, disk)
    held = {root.held(colour) for colour in Colour} | {name}
    for old in too_many(known, wanted.keep_releases, held):
        forget(root, old.id, disk)
    return final


def _filled(root: Root, new: Path, survey: Survey, kept: dict[str, tuple[str, int]], disk: Disk) -> None:
    folders: set[Path] = {new}
    for file in survey.files:
        target = new / file.path
        disk.folder(target.parent)
        disk.copy(file.real, target)
        folders.add(target.parent)
    for path, (owner, _) in kept.items():
        source, target = root.folder / RELEASES / owner / path, new / path
        if source.is_file() and _free(new, path):
            disk.folder(target.parent)
            disk.link(source, target)
            folders.add(target.parent)
    for folder in folders:
        for above in (folder, *folder.parents):
            disk.settle(above)
            if above == new:
                break


def _lend(root: Root, final: Path, survey: Survey, disk: Disk) -> None:
    """What is named after its content is found in the colours' present versions too: pages of the new one stay open
    after a way back.
    """
    others = {root.held(colour) for colour in Colour} - {"", final.name}
    for other in others:
        folder = root.folder / RELEASES / other
        for file in survey.files:
            if file.hashed and folder.is_dir() and _free(folder, file.path):
                target = folder / file.path
                disk.folder(target.parent)
                disk.link(final / file.path, target)
                disk.settle(target.parent)


def _free(folder: Path, path: str) -> bool:
    """Nothing stands there, and no file where a folder is needed."""
    at = folder
    for part in path.split("/")[:-1]:
        at = at / part
        if os.path.lexists(at) and not at.is_dir():
            return False
    return not os.path.lexists(folder / path)


def _sweep(releases: Path, disk: Disk) -> None:
    """What somebody who was killed has left half made."""
    for path in releases.iterdir():
        if path.name.startswith(".new-") or path.name.startswith(".old-"):
            disk.remove(path)


def forget(root: Root, name: str, disk: Disk) -> None:
    """A version that no colour holds. Its name goes first: half a version is never there."""
    folder = root.folder / RELEASES / name
    if any(root.held(colour) == name for colour in Colour):
        return
    if folder.is_dir():
        old = folder.with_name(f".old-{name}")
        disk.rename(folder, old)
        disk.remove(old)
    disk.remove(root.folder / MANIFESTS / f"{name}.json")


def _epoch(root: Root) -> int:
    """The newest, so that making sure of the folder is refused to nobody."""
    text = (root.read("epoch") or b"0").strip()
    return int(text) if text.isdigit() else 0
