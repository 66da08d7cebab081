"""What a host lacks, found in one call before anything moves."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from greenroom.errors import PortError
from greenroom.ports import Host

_TOOLS = "base64 cat chmod cut date df env flock head ln mkdir mv rm sha256sum stat sync tail timeout tr truncate"
ROOM = 10 << 10
"""KiB that have to be free in the state folder's file system."""


def problems(host: Host, state: str, tools: Sequence[str] = ()) -> list[str]:
    """What would keep Greenroom from working there, each with its way out. Changes nothing but making `state`.

    `tools`: programs that are needed beside those that Greenroom itself needs.
    """
    try:
        ran = host.run(["sh", "-s"], stdin=_script(state, tools).encode())
    except PortError as error:
        return [f"{error.message}: {error.hint}" if error.hint else error.message]
    where = f"on {host.name}" if host.name else "here"
    found = []
    for line in ran.out.decode("utf-8", "replace").splitlines():
        match line.split(" ", 1):
            case ["missing", tool]:
                found.append(f"there is no `{tool}` {where}: install it")
            case ["denied", reason]:
                found.append(
                    f"{state} {where} cannot be used ({reason}): `sudo install -d -m 700 -o USER {shlex.quote(state)}`, "
                    "with the SSH user for USER"
                )
            case ["full", left]:
                found.append(f"only {left} KiB are free in {state} {where}: free some space")
            case ["remote", kind]:
                found.append(f"{state} {where} is on {kind}, which keeps no lock and no promise: name a local disk")
    if ran.code != 0 and not found:
        said = ran.err.decode("utf-8", "replace").strip()
        found.append(f"{state} {where} cannot be examined: {said or f'exit status {ran.code}'}")
    return found


def _script(state: str, tools: Sequence[str]) -> str:
    return f"""\
all() {{
LC_ALL=C
export LC_ALL
umask 077
state={shlex.quote(state)}
for tool in {_TOOLS} {shlex.join(tools)}; do command -v "$tool" >/dev/null 2>&1 || echo "missing $tool"; done
if said=$(mkdir -p "$state" 2>&1); then
  probe=$state/.greenroom.$$
  if said=$( (: >"$probe") 2>&1); then rm -f "$probe"; else echo "denied ${{said##*: }}"; fi
  set -- $(df -Pk "$state" | tail -n 1)
  [ "$4" -ge {ROOM} ] || echo "full $4"
  kind=$(stat -f -c %T "$state" 2>/dev/null)
  case $kind in nfs*|smb*|cifs*|fuseblk|afs|9p) echo "remote $kind";; esac
else
  echo "denied ${{said##*: }}"
fi
}}
all </dev/null
"""
