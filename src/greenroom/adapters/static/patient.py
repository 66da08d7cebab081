"""A client that asks again: for the process that uploads, which has time, and repeats nothing that is not a condition."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from greenroom.adapters.static.asked import Asked
from greenroom.errors import Temporary, Uncertain

TRIES = 6


class Patient:
    """What did not happen, or may have, is asked for again, at growing intervals. `sleep`: given by tests."""

    def __init__(self, client: Asked, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client, self._sleep = client, sleep

    def read(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        return self._tried(lambda: self._client.read(service, operation, about, **parameters), parameters)

    def write(self, service: str, operation: str, about: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        return self._tried(lambda: self._client.write(service, operation, about, **parameters), parameters)

    def _tried(self, ask: Callable[[], Mapping[str, Any]], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for number in range(1, TRIES):
            try:
                return ask()
            except (Temporary, Uncertain) as error:
                wanted = error.retry_after if isinstance(error, Temporary) else 0.0
                self._sleep(max(wanted, 0.2 * 2**number))
                rewind = getattr(parameters.get("Body"), "seek", None)
                if rewind is not None:
                    rewind(0)
        return ask()
