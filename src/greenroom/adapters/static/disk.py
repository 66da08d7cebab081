"""What publishing does to a folder, step by step; each step is on the disk before the next one begins."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


class Disk:
    """Every method is one step: done wholly, or not at all, whenever we are killed."""

    def folder(self, path: Path) -> None:
        """With all above it, so that a web server may enter."""
        if not path.is_dir():
            self.folder(path.parent)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o755)
                path.chmod(0o755)

    def copy(self, source: Path, target: Path) -> None:
        """A copy of its own, as old as its publication: web servers tell versions of a file apart by its time and size."""
        with source.open("rb") as content, target.open("wb") as copy:
            shutil.copyfileobj(content, copy, 1 << 20)
            copy.flush()
            os.fchmod(copy.fileno(), 0o644)
            os.fsync(copy.fileno())

    def write(self, path: Path, content: bytes) -> None:
        new = path.with_name(f".{path.name}.new")
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        new.rename(path)
        self.settle(path.parent)

    def link(self, source: Path, target: Path) -> None:
        """The same file under another name; nothing if there is one already: nothing is ever overwritten."""
        with contextlib.suppress(FileExistsError):
            os.link(source, target, follow_symlinks=False)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)
        self.settle(target.parent)

    def remove(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def settle(self, folder: Path) -> None:
        """The names in it are on the disk."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
