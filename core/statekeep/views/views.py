"""One function for each kind of result, which turns it into dicts and lists for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from statekeep.format.session import plain_messages
from statekeep.format.summary import JournalSummary, SessionSummary
from statekeep.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from statekeep.config import PrunedCollection
    from statekeep.doctor import Diagnosis, Finding, RepairReport
    from statekeep.documents import DocumentInfo
    from statekeep.erasure import ErasurePlan, ErasureReport, ErasureVictim, Mention
    from statekeep.format.record import Problem
    from statekeep.format.session import AgentResponse, Session, UserMessage
    from statekeep.format.summary import Summary
    from statekeep.heads.pages import Listing
    from statekeep.journals import Head, Loaded
    from statekeep.plugins.loader import PluginInfo
    from statekeep.retention import PlannedVictim, PruneFailure, PrunePlan, PruneReport, Trashed
    from statekeep.search import Match, Said, Statistics, Tally
    from statekeep.transport import CopyReport, ImportsReport
    from statekeep.watching import Change

__all__ = [
    "change",
    "copy_report",
    "diagnosis",
    "documents",
    "erasure_plan",
    "erasure_report",
    "head",
    "imports_report",
    "journals",
    "listing",
    "loaded",
    "match",
    "messages",
    "plugins",
    "prune_configured",
    "prune_plan",
    "prune_report",
    "session",
    "statistics",
    "summary",
    "trash",
]


def session(value: Session) -> Any:  # noqa: ANN401 - the JSON of a session
    """A session, as in its stored document."""
    return orjson.loads(value.to_json())


def messages(values: Sequence[UserMessage | AgentResponse]) -> list[dict[str, Any]]:
    """Messages in order, as in a session's document but each with its role."""
    plain = zip(values, plain_messages(values), strict=True)
    return [
        {"role": each.role, **fields, "timestamp": format_timestamp(each.timestamp)}
        for each, fields in plain
    ]


def summary(value: Summary) -> dict[str, Any]:
    """A session or journal in a listing; a session has the original's fields first."""
    if isinstance(value, JournalSummary):
        return {
            "collection": value.collection,
            "name": list(value.name),
            "user_id": value.user_id,
            "length": value.length,
            "created_at": _time(value.created_at),
            "updated_at": _time(value.updated_at),
            **_of_both(value),
        }
    fields = value.to_dict() if isinstance(value, SessionSummary) else {"id": value.id}
    return {
        **fields,
        **_of_both(value),
        "last_phase": value.last_phase,
        "last_evaluation": value.last_evaluation,
    }


def listing(value: Listing[Summary] | Listing[SessionSummary]) -> dict[str, Any]:
    """A page of sessions, perhaps with journals."""
    return {"sessions": [summary(each) for each in value], **_rest(value)}


def journals(value: Listing[Summary] | Listing[JournalSummary]) -> dict[str, Any]:
    """A page of journals."""
    return {"journals": [summary(each) for each in value], **_rest(value)}


def head(value: Head) -> dict[str, Any]:
    """A journal without its items."""
    return {
        "name": list(value.name),
        "uid": value.uid,
        "user_id": value.user_id,
        "created_at": _time(value.created_at),
        "updated_at": _time(value.updated_at),
        "expires_at": _time(value.expires_at),
        "metadata": value.metadata,
        "length": value.length,
        "size": value.size,
        "version": value.version,
    }


def loaded(value: Loaded) -> dict[str, Any]:
    """Items of a journal, with its head."""
    return {"head": head(value.head), "start": value.start, "items": value.items}


def documents(values: Iterable[DocumentInfo]) -> list[dict[str, Any]]:
    """A listing of documents."""
    return [
        {
            "category": each.category,
            "name": each.name,
            "kind": each.kind,
            "size": each.size,
            "modified": _time(each.modified),
        }
        for each in values
    ]


def trash(values: Iterable[Trashed]) -> list[dict[str, Any]]:
    """The copies in the trash."""
    return [
        {
            "key": each.key,
            "stem": each.stem,
            "trashed_at": _time(each.trashed_at),
            "size": each.size,
            "id": each.id,
            "user_id": each.user_id,
            "updated_at": _time(each.updated_at),
            "collection": each.collection,
            "name": [*each.name],
        }
        for each in values
    ]


def prune_plan(plan: PrunePlan) -> dict[str, Any]:
    """What a prune would do."""
    return {"would_prune": _victims(plan.victims), "kept": plan.kept, **_left_alone(plan)}


def prune_report(plan: PrunePlan, report: PruneReport) -> dict[str, Any]:
    """What a prune did."""
    return {
        "pruned": _victims(report.pruned),
        "skipped": _victims(report.skipped),
        "unknown": _failures(report.unknown),
        "failed": _failures(report.failed),
        "kept": plan.kept,
        "swept": report.swept,
        "purged": report.purged,
        **_left_alone(plan),
    }


def prune_configured(values: Iterable[PrunedCollection]) -> dict[str, Any]:
    """What a prune of all configured collections did; the collection is null for sessions."""
    return {
        "collections": [
            {
                "collection": each.collection,
                **(
                    prune_plan(each.plan)
                    if each.report is None
                    else prune_report(each.plan, each.report)
                ),
            }
            for each in values
        ]
    }


def diagnosis(value: Diagnosis, report: RepairReport | None = None) -> dict[str, Any]:
    """What the doctor found and, after a repair, what became of it."""
    result: dict[str, Any] = {
        "store": value.store,
        "is_store": value.is_store,
        "examined": value.examined,
        "quarantined": value.quarantined,
        "problems": _findings(value.problems),
        "remarks": _findings(value.remarks),
        "healthy": (value if report is None else report).healthy,
    }
    if report is not None:
        result["repaired"] = [{**_finding(each.finding), "to": each.to} for each in report.repaired]
        result["skipped"] = _findings(report.skipped)
        result["failed"] = [
            {**_finding(each.finding), "error": str(each.error)} for each in report.failed
        ]
        result["left"] = _findings(report.left)
        result["swept"] = report.swept
    return result


def change(value: Change) -> dict[str, Any]:
    """A change to a session or journal."""
    whose: dict[str, Any] = {"id": value.id}
    if value.collection is not None:
        whose = {"collection": value.collection, "name": [*value.name]}
    return {
        "change": value.kind,
        "at": _time(value.at),
        **whose,
        "user_id": value.user_id,
        "length": value.length,
        "added": value.added,
    }


def match(value: Match) -> dict[str, Any]:
    """A match of a search."""
    return {
        **_whose(value.summary),
        **_said(value.said),
        "spans": [list(each) for each in value.spans],
        "before": [_said(each) for each in value.before],
        "after": [_said(each) for each in value.after],
    }


def statistics(value: Statistics) -> dict[str, Any]:
    """How much a store contains; null stands for no user, no collection and no phase."""
    return {
        "total": asdict(value.total),
        "collections": _tallies("collection", value.by_collection),
        "users": _tallies("user_id", value.by_user),
        "phases": _tallies("phase", value.by_phase),
        "days": [{"day": day.isoformat(), **asdict(tally)} for day, tally in value.by_day.items()],
        "biggest": [summary(each) for each in value.biggest],
        "places": _tallies("place", value.places),
        "problems": _problems(value.problems),
    }


def erasure_plan(plan: ErasurePlan) -> dict[str, Any]:
    """What an erasure would do."""
    return {
        "would_erase": _erasure_victims(plan.victims),
        "problems": _problems(plan.problems),
        "mentions": _mentions(plan.mentions),
        "remains": [*plan.remains],
        "unnamed": plan.unnamed,
    }


def erasure_report(report: ErasureReport) -> dict[str, Any]:
    """What an erasure did, and what is left."""
    return {
        "erased": _erasure_victims(report.erased),
        "skipped": _erasure_victims(report.skipped),
        "failed": [
            {"key": each.victim and each.victim.key, "error": str(each.error)}
            for each in report.failed
        ],
        "left": _erasure_victims(report.left),
        "problems": _problems(report.problems),
        "mentions": _mentions(report.mentions),
        "remains": [*report.remains],
        "unnamed": report.unnamed,
        "complete": report.complete,
    }


def copy_report(value: CopyReport) -> dict[str, Any]:
    """The result of a copy, export or import of documents."""
    return {
        **{name: getattr(value, name) for name in _COUNTED},
        "complete": value.complete,
        "remarks": [
            {
                "key": each.key,
                "outcome": each.outcome,
                "reason": each.reason,
                **({} if each.line is None else {"line": each.line}),
            }
            for each in value.remarks
        ],
    }


_COUNTED = (
    "source", "target", "dry_run", "copied", "overwritten", "equal", "differing", "newer", "failed",
    "deleted", "deletion_skipped", "bytes",
)  # fmt: skip


def imports_report(value: ImportsReport) -> dict[str, Any]:
    """The result of an import of conversations."""
    return {
        "source": value.source,
        "target": value.target,
        "dry_run": value.dry_run,
        "imported": value.imported,
        "unchanged": value.unchanged,
        "failed": value.failed,
        "added": value.added,
        "damaged": value.damaged,
        "complete": value.complete,
        "conversations": [
            {
                "path": each.path,
                "collection": each.collection,
                "name": [*each.name],
                "added": each.added,
                "unchanged": each.unchanged,
                "damaged": each.damaged,
                "remarks": [remark._asdict() for remark in each.remarks],
            }
            for each in value.reports
        ],
        "failures": [
            {"path": each.path, "name": [*each.name], "error": str(each.error)}
            for each in value.failures
        ],
    }


def plugins(values: Iterable[PluginInfo]) -> list[dict[str, Any]]:
    """The installed plugins."""
    return [asdict(each) for each in values]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)


def _of_both(value: Summary) -> dict[str, Any]:
    return {
        "title": value.title,
        "size": value.size,
        "pinned_until": _time(value.pinned_until),
        "expires_at": _time(value.expires_at),
    }


def _rest(value: Listing[Any]) -> dict[str, Any]:
    return {"problems": _problems(value.problems), "cursor": value.cursor}


def _whose(value: Summary) -> dict[str, Any]:
    if isinstance(value, JournalSummary):
        return {"collection": value.collection, "name": list(value.name), "user_id": value.user_id}
    return {"id": value.id, "user_id": value.user_id}


def _said(value: Said) -> dict[str, Any]:
    return {
        "index": value.index,
        "role": value.role,
        "timestamp": _time(value.timestamp),
        "text": value.text,
    }


def _tallies(name: str, values: Mapping[Any, Tally]) -> list[dict[str, Any]]:
    return [{name: key, **asdict(tally)} for key, tally in values.items()]


def _left_alone(plan: PrunePlan) -> dict[str, Any]:
    protected = [{"id": each.summary.id, "reason": each.reason} for each in plan.protected]
    return {"protected": protected, "problems": _problems(plan.problems)}


def _problems(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [asdict(each) for each in problems]


def _victims(victims: Iterable[PlannedVictim]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.summary.id,
            "user_id": each.summary.user_id,
            "size": each.summary.size,
            "reason": each.reason,
        }
        for each in victims
    ]


def _erasure_victims(victims: Iterable[ErasureVictim]) -> list[dict[str, Any]]:
    return [
        {"kind": each.kind, "key": each.key, "size": each.size, "reason": each.reason}
        for each in victims
    ]


def _mentions(mentions: Iterable[Mention]) -> list[dict[str, str]]:
    return [asdict(each) for each in mentions]


def _failures(failures: Iterable[PruneFailure]) -> list[dict[str, str]]:
    return [{"id": each.victim.summary.id, "error": str(each.error)} for each in failures]


def _findings(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [_finding(each) for each in findings]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "place": finding.place,
        "reason": finding.reason,
        "action": finding.action,
    }
