"""`greenroom history` and `greenroom show`: what happened, who did it, why. Read from the journal, changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.cli.context import Context
from greenroom.cli.lines import told
from greenroom.cli.screens import Teller
from greenroom.cli.show import evidence
from greenroom.cli.text import columns, cut, plain, span, stamp
from greenroom.domain import codec
from greenroom.domain.records import Entry, Finished, Requested, Started
from greenroom.domain.release import Release, Service
from greenroom.domain.replay import fold
from greenroom.domain.status import release_document
from greenroom.errors import UsageError

STYLES = {"succeeded": "good", "rolled_back": "red", "aborted": "warn", "failed": "red", "stuck": "red"}


def releases(entries: Sequence[Entry]) -> tuple[Service, list[Release]]:
    """Every release there ever was, in order, as it is now."""
    service, found = Service(), dict[str, Release]()
    for entry in entries:
        service = fold(service, entry)
        if service.release is not None:
            found[service.release.id] = service.release
    return service, list(found.values())


def history(context: Context, count: int) -> int:
    """The last releases, the newest last."""
    installed = context.reach()
    service, every = releases(installed.control.entries(0))
    now = installed.control.now()
    documents = [release_document(service, release, now) for release in every[-count:]]
    if context.json:
        context.document({"service": installed.name, "releases": documents, "of": len(every)})
        return 0
    rows = [
        (
            document["id"],
            stamp(document["begun"]),
            cut(str(document["version"]), 24),
            document["candidate"]["colour"],
            str(document["status"]).replace("_", " "),
            span((document["ended"] or now) - document["begun"]),
            cut(str(document["by"]), 24),
        )
        for document in documents
    ]
    heads = ("release", "begun", "version", "colour", "status", "took", "by")
    first, *lines = columns(rows, heads=heads)
    ink, width = context.ink, context.width
    shown = [ink(cut(first, width), "dim")]
    for line, document in zip(lines, documents, strict=True):
        shown.append(ink(cut(line, width), STYLES.get(str(document["status"]), "")))
        if document["status"] not in ("succeeded", "running", "baking"):
            shown.append(ink(cut(f"        {_first(document['reason'])}", width), "dim"))
    if len(every) > count:
        shown.append(f"… and {len(every) - count} before them: `greenroom history --last {len(every)}`")
    context.lines(shown)
    return 0


def _first(text: str) -> str:
    return plain((text.splitlines() or [""])[0])


def show(context: Context, wanted: str) -> int:
    """All records of one release (its id or version; the last one by default), readable."""
    installed = context.reach()
    entries = installed.control.entries(0)
    service, every = releases(entries)
    matches = [r for r in every if wanted in (r.id, r.version)] if wanted else every
    if not matches:
        hint = f"the last ones: {', '.join(r.id for r in every[-5:])}" if every else "nothing was ever released here"
        raise UsageError(f"there is no release {wanted!r}" if wanted else "nothing was released yet", hint=hint)
    release = matches[-1]
    own = own_of(entries, release.id)
    document = release_document(service, release, installed.control.now())
    found = evidence(installed.name, installed.state, release, own)
    if context.json:
        records = [{"seq": e.seq, "at": e.at, "epoch": e.epoch, "record": _record(e)} for e in own]
        context.document({"service": installed.name, "release": document, "entries": records, **found.document()})
        return 0
    state = str(document["status"]).replace("_", " ")
    context.lines(
        [
            context.ink(f"{release.id}: {release.version} on {release.colour}, {state}", "bold"),
            f"begun {stamp(release.begun)} by {release.by}"
            + (f", took {span(release.ended - release.begun)}" if release.ended else ""),
            *([f"instead of {release.baseline.version} on {release.baseline.colour}"] if release.baseline else []),
            "",
        ]
    )
    day, teller = "", Teller(context.ink, lambda: context.width if context.live else 0)
    for entry in merged(own):
        if (today := stamp(entry.at)[:10]) != day:
            day = today
            context.lines([context.ink(day, "dim")])
        context.lines(teller.tell(told(entry, release)))
    if lines := [*found.lines(context.width, context.stream, context.ink), *found.left(context.width, context.ink)]:
        context.lines(lines)
    return 0


def merged(entries: Sequence[Entry]) -> list[Entry]:
    """Intents that came to their result as expected are told once, by the result."""
    results = {(e.record.key, e.seq) for e in entries if isinstance(e.record, Finished)}
    shown = []
    for entry in entries:
        record = entry.record
        if isinstance(record, Started) and any(key == record.key and seq > entry.seq for key, seq in results):
            continue
        shown.append(entry)
    return shown


def _record(entry: Entry) -> dict[str, object]:
    """The record as it stands in the journal, but for the file of the release, which is long."""
    document = codec.encode(entry.record)
    if isinstance(entry.record, Requested) and "definition" in entry.record.details:
        document["details"] = {k: v for k, v in entry.record.details.items() if k != "definition"}
    return document


def own_of(entries: Sequence[Entry], release: str) -> list[Entry]:
    """The release's records, and between them what was asked of the service as a whole."""
    own, going = [], False
    for entry in entries:
        record = entry.record
        if isinstance(record, Requested) and record.command == "deploy":
            going = record.release == release
        if record.release == release or (going and record.release == ""):
            own.append(entry)
    return own
