"""What tasks have written, from CloudWatch Logs; and what the last of them that failed has left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greenroom.adapters.aws.client import Client
from greenroom.adapters.aws.ecs.definitions import Definitions, LogGroup
from greenroom.adapters.aws.ecs.services import Task
from greenroom.adapters.aws.troubles import Refusal
from greenroom.domain.template import conceal
from greenroom.errors import PortError
from greenroom.ports import Line

LAST = 5
"""Lines of a failed task that are told with its failure."""
_LONGEST = 300


class Heard:
    """Reads streams; keeps what was found out of tasks that have ended."""

    def __init__(self, client: Client, definitions: Definitions) -> None:
        self._client, self._definitions = client, definitions
        self._ended: dict[str, str] = {}

    def lines(self, task: Task, container: str, replica: str, last: int, since: float = 0.0) -> list[Line]:
        """Its last lines, ascending; none where it writes to somewhere else, or has not written yet."""
        definition = self._definitions.of(task.definition).container(container)
        group = LogGroup.of(definition) if definition is not None else None
        if group is None or last <= 0:
            return []
        asked = {"logGroupName": group.group, "logStreamName": group.stream(container, task.id)}
        try:
            said = self._client.read(
                "logs",
                "get_log_events",
                f"the log {group.group}",
                **asked,
                startTime=int(since * 1000),
                limit=min(last, 10_000),
                startFromHead=False,
            )
        except Refusal as error:
            if error.code == "ResourceNotFoundException":
                return []  # nothing was written
            raise
        events = said.get("events") or ()
        found = [Line(replica, str(e.get("message", "")), int(e.get("timestamp", 0)) / 1000) for e in events]
        return [line for line in found if line.at > since][-last:]

    def remains(self, tasks: Sequence[Task], definition: str, container: str, secrets: Mapping[str, str]) -> str:
        """Why the last task of this definition that was stopped was, and what it wrote last; "" if none was."""
        dead = [task for task in tasks if task.definition == definition and task.wanted == "STOPPED" and task.why]
        if not dead:
            return ""
        task = dead[-1]
        if task.arn not in self._ended:
            try:
                lines = [line.text[:_LONGEST] for line in self.lines(task, container, container, LAST)]
            except PortError as error:
                lines = [f"(its log cannot be read: {error.message})"]
            wrote = ["it wrote last:", *lines] if lines else []
            self._ended[task.arn] = "\n".join([f"task {task.id[:8]}: {task.why}", *wrote])
        return conceal(self._ended[task.arn], secrets)
