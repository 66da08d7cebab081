"""What goes on in a thread of this process while the engine looks on; lost with it, which the next look notices."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from greenroom.errors import GreenroomError, Temporary, Uncertain


class Unwanted(Exception):
    """Nobody wants the result any more."""


class Work:
    """`detail`: how far it is. `failure`: why it never will be done. `interrupted`: why it may be begun again."""

    def __init__(self) -> None:
        self.detail = "it begins"
        self.failure = ""
        self.interrupted = ""
        self.done = False
        self._lock = threading.Lock()
        self._wanted = True

    def tell(self, detail: str) -> None:
        if not self._wanted:
            raise Unwanted
        self.detail = detail

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """What is done in here is done before `forget`, or not at all."""
        with self._lock:
            if not self._wanted:
                raise Unwanted
            yield

    def forget(self) -> None:
        with self._lock:
            self._wanted = False

    def run(self, job: Callable[[Work], None]) -> None:
        try:
            job(self)
        except Unwanted:
            pass
        except (Temporary, Uncertain) as error:
            self.interrupted = error.message
        except GreenroomError as error:
            self.failure = f"{error.message}; {error.hint}" if error.hint else error.message
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self.done = True


class Workshop:
    """All that this process works on, by name."""

    def __init__(self) -> None:
        self._works: dict[str, Work] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Work | None:
        """What goes on, or has come to nothing. What ended well is seen in the world."""
        with self._lock:
            work = self._works.get(name)
            if work is not None and work.done and not (work.failure or work.interrupted):
                del self._works[name]
                return None
            return work

    def begin(self, name: str, job: Callable[[Work], None]) -> None:
        """Nothing if it goes on already."""
        with self._lock:
            before = self._works.get(name)
            if before is not None and not before.done:
                return
            work = self._works[name] = Work()
            threading.Thread(target=work.run, args=(job,), name=f"make {name}", daemon=True).start()

    def end(self, name: str) -> None:
        with self._lock:
            work = self._works.pop(name, None)
        if work is not None:
            work.forget()
