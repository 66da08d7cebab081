"""The notifier `apprise`: whatever else people read, through the library of that name (`pip install greenroom[apprise]`)."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from greenroom.adapters.notifiers.heard import Heard
from greenroom.adapters.notifiers.settings import Linked
from greenroom.adapters.notifiers.wording import cut, plain, told
from greenroom.domain.model import Event
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Place

if TYPE_CHECKING:
    import apprise

_TITLE, _BODY = 200, 6000
_STATUS = re.compile(r"error[= ]+(\d{3})\b")
_TYPES = {
    "succeeded": "success",
    "recovered": "success",
    "failed": "failure",
    "rolled_back": "failure",
    "stuck": "failure",
}
_LOGGERS = ("apprise", "urllib3", "requests", "paho", "slixmpp")
_MISSING = "needs a library that is not installed: `pip install 'greenroom[apprise]'`"


def _library() -> Any:
    """The library, which tells its log of every address that it asks: nobody hears that."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else the last resort, stderr, would show warnings
    try:
        import apprise  # here, for commands that notify nobody
    except ImportError:
        raise ValueError(_MISSING) from None
    return apprise


def _made(url: SecretStr) -> apprise.NotifyBase | None:
    library = _library()
    asset = library.AppriseAsset(async_mode=False, secure_logging=True, storage_mode="memory")
    found = library.Apprise.instantiate(url.get_secret_value(), asset=asset, suppress_exceptions=True)
    return found if isinstance(found, library.NotifyBase) else None


def _understood(urls: list[SecretStr]) -> list[SecretStr]:
    for number, url in enumerate(urls, 1):
        scheme = re.match(r"[a-z][a-z0-9+-]*(?=://)", url.get_secret_value(), re.IGNORECASE)
        if _made(url) is None:
            like = (
                f"an address of `{scheme[0]}://` with all its parts"
                if scheme
                else "an address like `tgram://TOKEN/CHAT`"
            )
            raise ValueError(f"number {number} is nothing that apprise understands: it should be {like}")
    return urls


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


class AppriseSettings(Linked):
    urls: Annotated[
        list[SecretStr],
        BeforeValidator(_one_or_more),
        AfterValidator(_understood),
        Field(min_length=1, max_length=20),
    ] = Field(description="Addresses as apprise wants them, best as `${NAME}`: they hold tokens and passwords.")


class AppriseNotifier:
    """`ports.Notifier`. The library says yes or no, not why: no is tried again. The event's id ends each message."""

    Settings: ClassVar[type[AppriseSettings]] = AppriseSettings

    def __init__(self, settings: AppriseSettings, place: Place) -> None:
        self._settings = settings
        self._heard = Heard()
        self.name = settings.name or "apprise"
        self.on: frozenset[str] | None = settings.kinds

    def notify(self, event: Event) -> None:
        """`Temporary` where one of the addresses was not told; the next time only that one is."""
        numbers = {str(number): url for number, url in enumerate(self._settings.urls, 1)}
        failed: list[str] = []
        for number in self._heard.missing(event.id, numbers):
            said = self._tell(numbers[number], event)
            if said is None:
                self._heard.told([number])
            else:
                failed.append(f"number {number}{said}")
        if failed:
            raise Temporary(f"Apprise ({self.name}) could not tell {', '.join(failed)}.", retry_after=5.0)
        self._heard.all_told()

    def _tell(self, url: SecretStr, event: Event) -> str | None:
        """None: told. Else what is known of why, which holds no part of the address."""
        heard = _Statuses()
        failure = ""
        try:
            there = _made(url)
            logger = logging.getLogger("apprise")
            logger.addHandler(heard)
            try:
                done = there is not None and there.notify(
                    body=cut(f"{plain(event, self._settings.link_for(event))}\n{event.id}", _BODY),
                    title=cut(f"{told(event).mark} {told(event).title}", _TITLE),
                    notify_type=_TYPES.get(event.kind, "info"),
                    body_format="text",
                )
            finally:
                logger.removeHandler(heard)
        except ValueError:
            raise Permanent(f"The notifier {self.name!r} {_MISSING}.") from None
        except Exception as error:  # any of a hundred services' own code
            done, failure = False, f" ({type(error).__name__})"
        if done:
            return None
        return f" (answered {heard.status})" if heard.status else failure


class _Statuses(logging.Handler):
    """Listens for the one thing in the library's complaints that is worth repeating and certainly no secret."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.status = ""

    def emit(self, record: logging.LogRecord) -> None:
        match = _STATUS.search(record.getMessage())
        if match:
            self.status = match[1]
