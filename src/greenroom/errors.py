"""Every error that Greenroom raises on purpose.

    GreenroomError                exit code
    ├── UsageError                2     the file or the command line is wrong; nothing was done
    ├── Refused                   4     not possible in the present state; nothing was done
    ├── LockHeld                  5     somebody else is releasing
    ├── Unobservable              6     the truth cannot be seen; a person must look
    ├── PortError                 (the engine decides what may be done next)
    │   ├── Temporary                   it did not happen; it may be tried again
    │   ├── Permanent                   it did not happen and never will
    │   └── Uncertain                   it may have happened; look before repeating
    └── JournalError
        ├── Conflict                    somebody appended first; read again
        ├── LeaseLost                   somebody else is in charge now; stop acting
        └── JournalUnusable       6     locked, unreadable, or the disk is full
            ├── JournalMissing          nothing was ever recorded here
            ├── JournalCorrupt          damaged, or not a journal at all
            └── JournalNewer            written by a newer Greenroom

An error's text names the place, the problem and the way out, and never holds a secret.
"""

from __future__ import annotations


class GreenroomError(Exception):
    """The root: `exit_code` is what the command line ends with, `hint` the way out."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GreenroomError):
    exit_code = 2


class Refused(GreenroomError):
    exit_code = 4


class LockHeld(GreenroomError):
    exit_code = 5


class Unobservable(GreenroomError):
    exit_code = 6


class PortError(GreenroomError):
    """What an adapter may raise; vendor errors end in the adapter."""


class Temporary(PortError):
    """It did not happen; `retry_after` seconds from now it may."""

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Permanent(PortError):
    """It did not happen and repeating it will not help."""


class Uncertain(PortError):
    """It may have happened: look before repeating."""


class JournalError(GreenroomError):
    exit_code = 6


class Conflict(JournalError):
    """The journal has grown since it was read: read again and decide again."""


class LeaseLost(JournalError):
    """The lease that fenced this append is no longer the current one."""


class JournalUnusable(JournalError):
    """The journal cannot be read or written: corrupt, newer, read-only, locked, disk full."""


class JournalMissing(JournalUnusable):
    """There is no journal: nothing was ever recorded here."""


class JournalCorrupt(JournalUnusable):
    """The journal is damaged, or something else stands in its place."""


class JournalNewer(JournalUnusable):
    """A newer Greenroom wrote it: this one must not guess what it means."""
