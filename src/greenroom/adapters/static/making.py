"""Makes one static version, as a process of its own: copies the source, prepares the copy, publishes it, says READY.

Started in the background with the artefact's folder, in which `making.json` says what to do. It may be killed at any
instant: what is published already is found by who begins anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from greenroom.adapters.process.making import copy, prepare
from greenroom.adapters.static.files import Unfit, survey
from greenroom.adapters.static.local import Wanted, publish
from greenroom.adapters.static.root import Root
from greenroom.adapters.supervisor import runfiles
from greenroom.errors import PortError

VENDOR = "AWS_"
"""So begin the variables by which a bucket is reached."""


def make(folder: Path) -> None:
    """`SystemExit` with the reason where it cannot be made."""
    order = runfiles.read_json(str(folder / "making.json"))
    if order is None:
        raise SystemExit("making.json cannot be read")
    target = folder / order["attempt"]
    for older in folder.iterdir():
        if older.name.isdigit() and older != target:
            shutil.rmtree(older, ignore_errors=True)
    try:
        copy(Path(order["source"]), target, order["exclude"], Path(order["state"]))
        with without(order["static"]["env"]):
            prepare(target, order["prepare"])
        reference = published(order["static"], target)
        runfiles.write_json(str(folder / "READY"), {"reference": reference})
    finally:
        # What is published has its own copy; and on a full disk there is no room for the reason otherwise.
        shutil.rmtree(target, ignore_errors=True)


@contextlib.contextmanager
def without(given: Collection[str]) -> Iterator[None]:
    """The right to write the bucket is not for other people's build scripts, but where the file gives it to them."""
    ours = {name: value for name, value in os.environ.items() if name.startswith(VENDOR) and name not in given}
    for name in ours:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(ours)


def published(order: Mapping[str, Any], copied: Path) -> str:
    """Where the version is."""
    wanted = Wanted(**order["wanted"])
    try:
        found = survey(_inside(copied, order["publish"]), order["hashed"])
        print(f"publishing {len(found.files)} files", flush=True)
        if order["bucket"]:
            from greenroom.adapters.static.upload import upload_patiently

            return upload_patiently(order["bucket"], found, wanted)
        return publish(Root(order["root"], wanted.service), found, wanted)
    except Unfit as error:
        raise SystemExit(str(error)) from None
    except PortError as error:
        raise SystemExit(f"{error.message}{'; ' + error.hint if error.hint else ''}") from None
    except OSError as error:
        raise SystemExit(f"it cannot be published: {error.strerror}: {error.filename}") from None


def _inside(copied: Path, publish: str) -> Path:
    """`Unfit` for a folder that a link leads to, somewhere else."""
    folder, whole = copied / publish, copied.resolve()
    if whole not in (folder.resolve(), *folder.resolve().parents):
        raise Unfit(f"`publish`: {publish} is a link out of the source, which would publish something else")
    return folder


def main() -> None:
    os.umask(0o022)
    make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
