"""The story: a minute on this machine that shows it all, through the real command line and under real traffic.

Release 1 goes live. Release 2 follows, and in the middle of it Greenroom is killed. Release 3 passes its checks, fails
its visitors and is rolled back by itself. Release 4 is taken back by hand. A client asks all the time; what it saw is
the result.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from greenroom.demo import ending
from greenroom.demo.log import Request
from greenroom.demo.picture import Event
from greenroom.demo.stage import Command, Done, Stage, break_release, free_port, get, repair_release
from greenroom.demo.traffic import Traffic

RATE = 150
LONGEST = 400
MARKER = ".greenroom-demo"


class NotAsTold(Exception):
    """Something happened that is not in the story."""


class Story:
    """`say` prints a line. Every chapter leaves the moments that the ending needs in `chapters` and `events`."""

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.began = time.monotonic()
        self.events: list[Event] = []
        self.chapters: dict[str, tuple[float, float]] = {}
        self.log = stage.folder / "requests.jsonl"
        self.traffic: Traffic | None = None
        self._say = say
        self._commands: list[Command] = []

    def tell(self) -> None:
        for chapter in (self.first, self.second, self.third, self.fourth):
            began = time.monotonic()
            chapter()
            self.chapters[chapter.__name__] = (began, time.monotonic())
        self.curtain()

    def first(self) -> None:
        self.say("Release 1 of an example shop: a web process and a worker, behind Envoy.")
        command = self.start("deploy", "1")
        self.wait_until(lambda: answers(self.stage.url), command, "the shop must answer")
        self.say(f"It answers at {self.stage.url}. A client begins: {RATE} requests a second, every answer checked.")
        self.traffic = Traffic(self.stage.url, self.log, rate=RATE, seconds=LONGEST)
        self.saw(lambda r: r.good and r.version == "1")
        self.expect(command.wait(), 0)
        self.serves("1")

    def second(self) -> None:
        self.say("Release 2, under traffic.")
        command = self.start("deploy", "2", event="deploy 2")
        first = self.saw(lambda r: r.version == "2")
        engines = self.stage.residents()
        for pid in engines:
            os.kill(pid, signal.SIGKILL)
        command.kill()
        self.note("kill -9 of Greenroom", loud=True)
        killed = [f"the command ({command.pid})", *(f"the engine ({pid})" for pid in engines)]
        self.say(f"Its first answers are seen, on {first.colour}. Now: kill -9 of {' and '.join(killed)}.")
        if not engines:
            raise NotAsTold("no resident engine was found")
        after = self.traffic_now()
        self.saw(lambda r: r.good and r.at > after + 1.0)
        self.say("The traffic flows on. The same command again:")
        self.expect(self.start("deploy", "2", event="deploy 2, again").wait(), 0)
        self.serves("2")

    def third(self) -> None:
        self.say("Release 3 has a mistake: it is healthy, passes its checks, and fails after some sixty visitors.")
        break_release(self.stage.shop)
        command = self.start("deploy", "3", event="deploy 3")
        self.saw(lambda r: r.version == "3" and r.bad)
        self.say("Its visitors see errors.")
        bad = self.traffic_now()
        self.saw(lambda r: r.version == "2" and r.at > bad)
        self.note("rolled back by itself", loud=True)
        self.say("Release 2 answers again: rolled back, and nobody had to do anything.")
        self.expect(command.wait(), 3)
        self.serves("2")

    def fourth(self) -> None:
        self.say("Release 4 is release 3 without the mistake.")
        repair_release(self.stage.shop)
        command = self.start("deploy", "4", event="deploy 4")
        self.saw(lambda r: r.version == "4")
        self.expect(command.wait(), 0)
        self.serves("4")
        self.say("It is fine, but somebody wants the old one back. By hand:")
        told = self.traffic_now()
        command = self.start("rollback", event="rollback, by hand", loud=True)
        self.saw(lambda r: r.version == "2" and r.at > told)
        self.expect(command.wait(), 0)
        self.serves("2")
        after = self.traffic_now()
        self.saw(lambda r: r.at > after + 2.0)

    def curtain(self) -> None:
        self.say("The client has seen enough.")
        self.stop_traffic()
        if not ending.all_packed(self.stage.data, within=30.0):
            self.say("The worker has not packed all the orders within 30 s.")
        self.expect(self.start("down", "--yes").wait(), 0)

    def say(self, text: str) -> None:
        self._say(f"{time.monotonic() - self.began:5.1f} s  {text}")

    def note(self, text: str, loud: bool = False) -> None:
        self.events.append(Event(time.monotonic(), text, loud))

    def start(self, *words: str, event: str = "", loud: bool = False) -> Command:
        self._say(f"         $ greenroom {' '.join(words)}")
        if event:
            self.note(event, loud)
        command = self.stage.start(*words)
        self._commands.append(command)
        return command

    def expect(self, done: Done, code: int) -> None:
        """The command ended with this code; what it said last is told."""
        if done.code != code:
            raise NotAsTold(f"exit code {code} was expected.\n{done}")
        if done.verdict:
            self._say(f"         {done.verdict}")

    def serves(self, version: str) -> None:
        """`status` says that this version is live and that the route agrees. The router may just be learning something
        else, as that an idle version has gone: so it is asked again.
        """
        deadline = time.monotonic() + 15
        while True:
            status = self.stage.status()
            active = status.get("active") or {}
            if active.get("version") == version and status.get("route") == "in_sync":
                break
            if time.monotonic() > deadline:
                raise NotAsTold(f"release {version} should be live, but `greenroom status` says: {status}")
            time.sleep(0.2)
        self.say(f"`greenroom status`: release {version} is live on {active['colour']}.")

    def saw(self, found: Callable[[Request], bool]) -> Request:
        assert self.traffic is not None
        return self.traffic.wait_for(found, within=60.0)

    def traffic_now(self) -> float:
        return time.monotonic()

    def wait_until(self, found: Callable[[], bool], command: Command, what: str) -> None:
        deadline = time.monotonic() + 90
        while not found():
            if not command.running() and command.wait().code != 0:
                raise NotAsTold(str(command.wait()))
            if time.monotonic() > deadline:
                raise NotAsTold(f"{what} (waited 90 s)")
            time.sleep(0.05)

    def stop_traffic(self) -> None:
        if self.traffic:
            self.traffic.stop()

    def end_everything(self) -> list[str]:
        """Whatever happened: no client, no command, no service is left. What could not be ended, in words."""
        self.stop_traffic()
        for command in self._commands:
            command.kill()
        if self.stage.remains():
            self.stage.end()
        deadline = time.monotonic() + 15
        while self.stage.remains() and time.monotonic() < deadline:
            time.sleep(0.1)
        return [f"process {pid} still runs: {line[:100]}" for pid, line in self.stage.remains()]


def answers(url: str) -> bool:
    try:
        return get(f"{url}/?request=0")[0] == 200
    except OSError:
        return False


def prepare(out: Path) -> str:
    """An empty folder for the demo; what stands in the way ("" for nothing)."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            return f"{out} is not empty and not of an earlier demo: name another folder with --out"
        if (out / "shop" / ".greenroom").exists():
            Stage.found(out).end()
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    return ""


def run(out: Path) -> int:
    """Tell the story in this folder. 0 if it went as told and nothing was lost, 1 if not, 130 if it was interrupted."""
    out = out.resolve()
    if problem := prepare(out):
        print(problem, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    story = Story(Stage(out, port=free_port(8080)), lambda text: print(text, flush=True))
    code, faults = 0, list[str]()
    try:
        story.tell()
    except KeyboardInterrupt:
        print("\nInterrupted. Everything that the demo started is ended …", flush=True)
        code = 130
    except (NotAsTold, TimeoutError, OSError) as error:
        faults.append(str(error))
    faults += story.end_everything()
    if code == 130:
        return code
    faults += ending.show(story.log, story.stage.data, story.events, story.chapters, out)
    for fault in faults:
        print(f"\nNot as told: {fault}", file=sys.stderr)
    return 1 if faults else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="greenroom demo", description="A minute that shows it all, with real traffic."
    )
    parser.add_argument("--out", type=Path, default=Path("greenroom-demo"), help="the folder for it (greenroom-demo)")
    given = parser.parse_args(argv)
    return run(given.out)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
