"""Carrying migrations out: statement by statement, each once, whoever is killed when."""

from __future__ import annotations

from greenroom.adapters.database.running.pace import Pace
from greenroom.adapters.database.running.runner import Hindered, Runner
from greenroom.adapters.database.running.stage import Outcome, expand, persevere, runner
from greenroom.adapters.database.running.standing import Refusal
from greenroom.adapters.database.running.tell import Tell

__all__ = ["Hindered", "Outcome", "Pace", "Refusal", "Runner", "Tell", "expand", "persevere", "runner"]
