"""What is run on a host that keeps a journal: one short shell script for each thing asked of it.

The folder holds `journal.jsonl`, which only grows, and `head`, which says how much of it counts, under which lease and
at what time. An append is written behind what counts, brought to the disk, and then counts by the rename of a new
`head`: whoever is killed before that has written nothing. Readers take no lock. A script that arrived in part does
nothing: all of it is one function, called in its last line.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

FORMAT = 1
MISSING, DAMAGED, NEWER, REPLACED, BUSY, LOST, CONFLICT, FULL = 66, 65, 69, 67, 75, 70, 71, 74
LOCK_WITHIN = 4


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a host's script finds the time. Tests give their own."""

    proc: str = "/proc"
    wall: str = "date +%s%3N"


def script(folder: str, action: str, values: Mapping[str, str | int], sources: Sources) -> str:
    """`action`: one of the functions below. `values`: what it is told, as shell variables."""
    told = "\n".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items())
    return f"""\
all() {{
LC_ALL=C
export LC_ALL
umask 077
folder={shlex.quote(folder)} proc={shlex.quote(sources.proc)}
wall() {{ {sources.wall}; }}
{told}
{_COMMON}
{_ACTIONS[action]}
}}
all </dev/null
"""


_COMMON = f"""\
end() {{ printf '%s\\n' "$2" >&2; exit "$1"; }}
settle() {{
said=$(sync "$@" 2>&1) && return
case $said in *gnoring*) sync;; *) end 1 "$said";; esac
}}
here() {{
[ -d "$folder" ] || end {MISSING} missing
cd "$folder" || exit 1
}}
lock() {{
exec 9>>lock || exit 1
flock -w {LOCK_WITHIN} 9 || end {BUSY} locked
}}
load() {{
if [ ! -e head ]; then
  [ ! -s journal.jsonl ] || end {DAMAGED} 'there are entries, but no head'
  end {MISSING} missing
fi
format= id= service= boot= anchor= seq= size= sum= at= epoch= since= expires= identity= owner= why= whole=
while read -r name rest; do
  case $name in
  greenroom-journal) format=$rest;;
  id) id=$rest;; service) service=$rest;; boot) boot=$rest;; anchor) anchor=$rest;;
  seq) seq=$rest;; size) size=$rest;; sum) sum=$rest;; at) at=$rest;;
  epoch) epoch=$rest;; since) since=$rest;; expires) expires=$rest;;
  identity) identity=$rest;; owner) owner=$rest;; why) why=$rest;;
  end) whole=yes;;
  esac
done <head || exit 1
case $format in ''|*[!0-9]*) end {DAMAGED} 'its head names no format';; esac
[ "$format" -eq {FORMAT} ] || end {NEWER} "$format"
for number in "$anchor" "$seq" "$size" "$at" "$epoch" "$since" "$expires"; do
  case $number in ''|*[!0-9]*) whole=;; esac
done
[ "$whole" ] && [ "$sum" ] && [ "$id" ] || end {DAMAGED} 'its head is not whole'
[ -z "$known" ] || [ "$id" = "$known" ] || end {REPLACED} replaced
}}
clock() {{
read -r up _ <"$proc/uptime" && read -r booted <"$proc/sys/kernel/random/boot_id" || exit 1
up=${{up%.*}}${{up#*.}}0
while :; do case $up in 0?*) up=${{up#0}};; *) break;; esac; done
first=
if [ "$boot" != "$booted" ]; then boot=$booted anchor=$(($(wall) - up)) first=yes; fi
now=$((anchor + up))
if [ "$now" -lt "$at" ]; then now=$at anchor=$((at - up)); fi
}}
failed() {{
left=$(df -Pk . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)
"$@"
[ "$left" != 0 ] || end {FULL} full
exit 1
}}
shorten() {{ truncate -s "$size" journal.jsonl; }}
save() {{
at=$now
printf '%s\\n' "greenroom-journal {FORMAT}" "id $id" "service $service" "boot $boot" "anchor $anchor" "seq $seq" \\
  "size $size" "sum $sum" "at $at" "epoch $epoch" "since $since" "expires $expires" "identity $identity" \\
  "owner $owner" "why $why" end >head.new || failed rm -f head.new
settle head.new "$@"
mv -fT head.new head || exit 1
settle .
}}
answer() {{
printf '%s\\n' "now $now" "id $id" "service $service" "seq $seq" "size $size" "sum $sum" "epoch $epoch" \\
  "since $since" "expires $expires" "owner $owner" "why $why" "did $1" data
}}"""

_MAKE = """\
mkdir -p "$folder" || exit 1
here
lock
if [ ! -e head ] && [ ! -s journal.jsonl ]; then
  boot= anchor=0 seq=0 size=0 at=0 since=0 expires=0 identity= owner= why=
  id=$fresh sum=$fresh service=$named
  : >journal.jsonl || failed :
  clock
  epoch=$((now / 1000))
  save journal.jsonl
fi
load
clock
[ -z "$first" ] || save
answer made"""

_LOOK = """\
here
load
clock
answer seen
[ "$size" -le "$from" ] || tail -c "+$((from + 1))" journal.jsonl | head -c "$((size - from))" """

_APPEND = f"""\
here
lock
load
clock
if [ "$under" ]; then
  [ "$owner" ] && [ "$epoch" -eq "$under" ] || {{ answer lost; exit {LOST}; }}
fi
[ "$seq" -eq "$expected" ] || {{ answer late; exit {CONFLICT}; }}
have=$(stat -c %s journal.jsonl) || exit 1
[ "$have" -ge "$size" ] || end {DAMAGED} 'entries are missing'
[ "$have" -eq "$size" ] || shorten || exit 1
part=$((now % 1000 + 1000))
text="{{\\"seq\\":$((seq + 1)),\\"at\\":$((now / 1000)).${{part#1}},\\"epoch\\":${{under:-0}},\\"records\\":$records"
new=$(printf '%s%s' "$sum" "$text" | sha256sum) || exit 1
new=${{new%% *}}
printf '%s,"sum":"%s"}}\\n' "$text" "$new" >>journal.jsonl || failed shorten
sum=$new
size=$(stat -c %s journal.jsonl) || exit 1
seq=$((seq + count))
save journal.jsonl
answer written"""

_CLAIM = """\
here
lock
load
clock
did=held
if [ "$owner" ] && [ "$identity" = "$mine" ]; then
  expires=$((now + ttl)) did=granted
  [ "$ttl" -gt 0 ] && owner=$me || owner=
  [ -z "$reason" ] || why=$reason
  save
elif [ "$owner" ] && [ "$expires" -gt "$now" ] && [ "$identity" != "$dead" ] &&
  { [ "$force" -eq 0 ] || [ "$ttl" -eq 0 ]; }; then
  [ -z "$first" ] || save  # or time would stand still for as long as the wall clock is behind
elif [ "$ttl" -eq 0 ]; then
  did=nothing
else
  epoch=$((epoch + 1)) since=$now expires=$((now + ttl)) identity=$mine owner=$me why=$reason did=granted
  save
fi
answer "$did" """

_ACTIONS = {"make": _MAKE, "look": _LOOK, "append": _APPEND, "claim": _CLAIM}
