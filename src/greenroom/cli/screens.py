"""Where progress goes: line by line without a terminal, one calm picture with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from greenroom.cli.follow import Picture, Screen
from greenroom.cli.lines import Line, news
from greenroom.cli.picture import progress
from greenroom.cli.text import Ink, clock, plain, width_of, wrapped
from greenroom.domain.phases import ENDS
from greenroom.domain.records import Entry, Moved
from greenroom.domain.release import Release

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_INDENT = " " * 15
EVIDENCE = 20
"""Lines of evidence that are shown with a failure."""
LONG = 80
"""Characters from which on a reason is not told twice."""


def screen_for(stream: TextIO, *, live: bool, ink: Ink) -> Screen:
    return LiveScreen(stream, ink) if live else LineScreen(stream, ink)


class Teller:
    """Lines as text; a long reason, and evidence, that was shown just before is not shown again.

    `width`: lines are wrapped there, with what hangs over under the text; 0: they are not, for logs.
    """

    def __init__(self, ink: Ink, width: Callable[[], int] = lambda: 0) -> None:
        self._ink, self._width = ink, width
        self._shown: tuple[str, ...] = ()
        self._reason = ""

    def tell(self, line: Line) -> list[str]:
        """`14:32:08  ✓ checks     http /`, and its evidence below."""
        ink, style = self._ink, line.style
        head = f"{clock(line.at, exact=True)}  {line.mark or ' '} {line.topic:<13}"
        shown = self._wrapped(head, self._short(plain(line.text)))
        shown = [ink(each, style) for each in shown] if style == "dim" else shown
        shown[0] = ink(head, style) + shown[0][len(head) :] if style != "dim" else shown[0]
        if line.more and line.more != self._shown:
            self._shown = line.more
            shown += [each for more in line.more[:EVIDENCE] for each in self._wrapped(_INDENT, plain(more))]
            if len(line.more) > EVIDENCE:
                shown.append(f"{_INDENT}… and {len(line.more) - EVIDENCE} lines more: `greenroom show --json`")
        return shown

    def _short(self, text: str) -> str:
        """`expand: as above` for what is the reason of what comes next, and of what comes after that."""
        name, _, reason = text.partition(": ")
        if self._reason and text.endswith(self._reason):
            return f"{name}: as above"
        self._reason = reason if len(reason) > LONG else ""
        return text

    def _wrapped(self, head: str, text: str) -> list[str]:
        width = self._width()
        return wrapped(text, width, indent=" " * len(head), first=head) if width else [head + text]


class LineScreen:
    """One line for each change, with its time. The same line is not said twice in a row."""

    patient = False

    def __init__(self, stream: TextIO, ink: Ink) -> None:
        self._stream, self._teller = stream, Teller(ink)
        self._last = ("", "", "")

    def news(self, entry: Entry, release: Release) -> None:
        line = news(entry, release)
        if line is None or (line.mark, line.topic, line.text) == self._last:
            return
        self._last = (line.mark, line.topic, line.text)
        self._print(self._teller.tell(line))

    def show(self, picture: Picture) -> None:
        pass

    def say(self, text: str) -> None:
        self._print([text])

    def close(self) -> None:
        pass

    def _print(self, lines: list[str]) -> None:
        print("\n".join(lines), file=self._stream, flush=True)


class LiveScreen:
    """The picture, redrawn in place when it changed; troubles scroll by above it and stay."""

    patient = True

    def __init__(self, stream: TextIO, ink: Ink) -> None:
        self._stream, self._ink, self._teller = stream, ink, Teller(ink, lambda: width_of(stream))
        self._live: Live | None = None
        self._drawn: list[str] = []
        self._said = ""
        self._width = 0

    def news(self, entry: Entry, release: Release) -> None:
        line = news(entry, release)
        ends = isinstance(entry.record, Moved) and entry.record.to in ENDS
        if line is None or line.mark not in ("✗", "?") or ends or self._said.endswith(line.text):
            return
        self._said = f"{line.topic} {line.text}"
        self._above(self._teller.tell(line))

    def show(self, picture: Picture) -> None:
        width = width_of(self._stream)
        lines = progress(picture, width, self._ink)
        if lines == self._drawn and width == self._width:
            return
        self._drawn, self._width = lines, width
        self._begun().update(_text(lines), refresh=True)

    def say(self, text: str) -> None:
        self._above(wrapped(text, width_of(self._stream)))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            print(file=self._stream)

    def _above(self, lines: list[str]) -> None:
        self._begun().console.print(_text(lines), soft_wrap=True)

    def _begun(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream, highlight=False, no_color=not self._ink.on)
            self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()
        return self._live


def _text(lines: list[str]) -> Text:
    from rich.text import Text

    return Text.from_ansi("\n".join(lines), no_wrap=True)
