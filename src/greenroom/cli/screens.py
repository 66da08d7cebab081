"""Where progress goes: line by line without a terminal, one calm picture with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from greenroom.cli.follow import Picture, Screen
from greenroom.cli.lines import Line, news
from greenroom.cli.picture import progress
from greenroom.cli.text import Ink, clock, plain, width_of
from greenroom.domain.phases import ENDS
from greenroom.domain.records import Entry, Moved
from greenroom.domain.release import Release

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_INDENT = " " * 15
EVIDENCE = 20
"""Lines of evidence that are shown with a failure."""


def screen_for(stream: TextIO, *, live: bool, ink: Ink) -> Screen:
    return LiveScreen(stream, ink) if live else LineScreen(stream, ink)


class Teller:
    """Lines as text; evidence that was shown just before is not shown again."""

    def __init__(self, ink: Ink) -> None:
        self._ink = ink
        self._shown: tuple[str, ...] = ()

    def tell(self, line: Line) -> list[str]:
        """`14:32:08  ✓ checks     http /`, and its evidence below."""
        ink, style = self._ink, line.style
        head = f"{clock(line.at, exact=True)}  {line.mark or ' '} {line.topic:<13}"
        text = plain(line.text)
        shown = [ink(head + text, style) if style == "dim" else ink(head, style) + text]
        if line.more and line.more != self._shown:
            self._shown = line.more
            shown += [_INDENT + plain(more) for more in line.more[:EVIDENCE]]
            if len(line.more) > EVIDENCE:
                shown.append(f"{_INDENT}… and {len(line.more) - EVIDENCE} lines more: `greenroom show --json`")
        return shown


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
        self._stream, self._ink, self._teller = stream, ink, Teller(ink)
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
        self._above([text])

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
