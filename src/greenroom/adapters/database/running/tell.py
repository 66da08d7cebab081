"""How the work says what it is at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Tell: TypeAlias = Callable[[str], None]
"""A short sentence for people, without a full stop; it must not raise."""
