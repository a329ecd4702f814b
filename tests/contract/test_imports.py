"""Conversations that other programs keep come into any store, once, whatever fails meanwhile."""

from __future__ import annotations

import json
import random
import time
from base64 import b64decode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from theirs import Checkpoints, Messages, said

from statekeep import Journals, UnavailableError
from statekeep.config import load_importer
from statekeep.store import StoreWrapper
from statekeep.transport import import_conversations
from statekeep_plugins.layouts.langgraph.threads import all_found
from statekeep_plugins.layouts.langgraph.values import NONCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from statekeep import Journal, StateStore
    from statekeep.store import Version
    from statekeep.transport import ImportsReport


def bring(store: StateStore, path: Path, name: str, **given: Any) -> ImportsReport:
    return import_conversations(store, path, load_importer(name), **given)


def contents(journal: Journal) -> dict[tuple[str, str], tuple[Any, Any, list[Any]]]:
    """What `Checkpoints.all` gives, of a thread's journal."""
    items = journal.read() or []
    found = [*all_found(items)]
    refs = {ref for each in found for ref in each.refs}
    files = journal.attachments(refs) if refs else {}

    def value(packed: Any) -> Any:
        kind, data = packed
        assert kind == "msgpack"
        if isinstance(data, dict):
            return msgspec.msgpack.decode((files[data["ref"]] or b"")[NONCE:])
        return msgspec.msgpack.decode(b64decode(data))

    return {
        (each.item["ns"], each.item["checkpoint"]): (
            each.item["parent"],
            {name: value(packed) for name, packed in each.item["values"].items()},
            [(task, channel, value(packed)) for task, channel, packed in each.writes],
        )
        for each in found
    }


class Dying(StoreWrapper):
    """Dies at random."""

    def __init__(self, store: StateStore, drawn: random.Random) -> None:
        super().__init__(store)
        self._drawn = drawn

    def put(self, key: str, data: bytes, **given: Any) -> Version:
        if self._drawn.random() < 0.2:
            raise UnavailableError("it died", key=key, store=self, landed="no")
        return super().put(key, data, **given)


def test_sessions_of_openai(store: StateStore, tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(Messages(path)) as theirs:
        theirs.add(
            "a", {"type": "reasoning"}, said("Hello  there"), "{torn", b"\xff\xfe", said("on")
        )
        theirs.add("b", *[said(f"{n} {'x' * 5000}") for n in range(500)])
        report = bring(store, path, "openai-agents", user_id="ada")
        assert (report.imported, report.added, report.damaged) == (2, 503, 2)
        journals = Journals(store, "openai-agents")
        assert journals.open("a").read() == [
            {"type": "reasoning"},
            said("Hello  there"),
            said("on"),
        ]
        assert [(each.name, each.title, each.user_id) for each in journals.list("a")] == [
            (("a",), "Hello there", "ada")
        ]
        first = next(each for each in report.reports if each.name == ("a",))
        assert [each[:2] for each in first.remarks] == [
            ("row 3 of agent_messages", "it is not JSON"),
            ("row 4 of agent_messages", "it is not JSON"),
        ]
        kept = journals.open("a").attachments([each.ref or "" for each in first.remarks])
        assert [*kept.values()] == [b"{torn", b"\xff\xfe"]
        assert bring(store, path, "openai-agents", user_id="ada").unchanged == 2
        theirs.add("b", said("more"))
        again = bring(store, path, "openai-agents", user_id="ada")
        assert [(each.name, each.added, each.unchanged) for each in again.reports] == [
            (("b",), 1, 500)
        ]


def test_of_branches_the_first_comes_in_and_soon(store: StateStore, tmp_path: Path) -> None:
    path, count = tmp_path / "theirs.db", 6000
    with closing(Messages(path)) as theirs:
        theirs.add("a", *[said(str(n)) for n in range(count)])
        theirs.add("b", said("without"))
        theirs.branch("a", *["main", "main", "other"] * (count // 3))
        theirs.branch("a", *["main", "other", "main"] * (count // 3))  # later, and so no matter
        began = time.process_time()
        assert bring(store, path, "openai-agents").added == count * 2 // 3 + 1
        assert time.process_time() - began < 5  # not a look through all for each
        kept = Journals(store, "openai-agents").open("a").read(stop=3)
        assert kept == [said("0"), said("1"), said("3")]
        assert bring(store, path, "openai-agents").unchanged == 2


def test_threads_of_langgraph(store: StateStore, tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(Checkpoints(path)) as theirs:
        message = {"type": "human", "content": "Hello  there"}
        theirs.put("t", "1", {"messages": [message], "large": "x" * 20_000, "none": None})
        theirs.put("t", "2", {"x": 2**63}, parent="1")
        theirs.put("t", "1", {"y": 1.5}, ns="inner:1")
        theirs.write("t", "2", "task", "one", ["two"])
        theirs.write("t", "3", "early", "three")
        report = bring(store, path, "langgraph", user_id="ada")
        journal = Journals(store, "langgraph").open("t")
        assert (report.imported, report.damaged, report.failed) == (1, 0, 0)
        assert contents(journal) == theirs.all("t")
        head = journal.head()
        assert head
        assert (head.metadata["title"], head.user_id) == ("Hello there", "ada")
        assert bring(store, path, "langgraph").unchanged == 1
        assert journal.head() == head
        theirs.write("t", "2", "task", "resumed", index=-4)
        theirs.put("t", "3", {"x": 3}, parent="2")
        assert bring(store, path, "langgraph").added == 2
        assert contents(journal) == theirs.all("t")


def test_what_dies_goes_on_with_what_is_new(
    store: StateStore,
    tmp_path: Path,
    rounds: Callable[[int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for limit in ("langgraph._BYTES", "openai_agents._BYTES"):
        monkeypatch.setattr(f"statekeep_plugins.databases.{limit}", 300)
    monkeypatch.setattr("statekeep_plugins.databases.langgraph._ITEMS", 3)
    for seed in range(rounds(200)):
        _live(store, tmp_path / str(seed), random.Random(seed), f"-{seed}")


def _live(store: StateStore, folder: Path, drawn: random.Random, suffix: str) -> None:
    """Write, import and die by chance, and see that in the end all of it is there."""
    folder.mkdir()
    dying = Dying(store, drawn)
    expected: dict[str, list[Any]] = {f"a{suffix}": [], f"b{suffix}": []}
    threads = [f"t{suffix}", f"u{suffix}"]
    messages, checkpoints = folder / "messages.db", folder / "checkpoints.db"
    with closing(Messages(messages)) as one, closing(Checkpoints(checkpoints)) as two:
        for n in range(40):
            session, thread = drawn.choice([*expected]), drawn.choice(threads)
            some = [said(f"{n}.{m}") for m in range(drawn.randrange(4))]
            expected[session] += some
            one.add(session, *some)
            at, ns = f"{drawn.randrange(n + 1):04}", drawn.choice(["", "", "inner"])
            if drawn.random() < 0.5:
                two.put(thread, f"{n:04}", {"x": n, "y": "z" * drawn.randrange(200)}, ns=ns)
            if drawn.random() < 0.2:  # replaced
                two.put(thread, at, {"x": f"{n} again"}, ns=ns)
            if drawn.random() < 0.7:
                index = drawn.choice([-4, n * 10])
                two.write(thread, at, f"task {drawn.randrange(3)}", n, f"{n}", ns=ns, index=index)
            if drawn.random() < 0.1:
                two.db.execute("VACUUM")
            if drawn.random() < 0.5:
                bring(dying, messages, "openai-agents")
                bring(dying, checkpoints, "langgraph")
        for path, name in ((messages, "openai-agents"), (checkpoints, "langgraph")):
            while not bring(dying, path, name).complete:
                pass
            assert bring(store, path, name).added == 0
        for session, items in expected.items():
            assert (Journals(store, "openai-agents").open(session).read() or []) == items
        for thread in threads:
            found = contents(Journals(store, "langgraph").open(thread))
            assert found == two.all(thread)


@pytest.mark.parametrize("name", ["openai-agents", "langgraph"])
@pytest.mark.parametrize("change", ["theirs", "ours", "both", "as long as before"])
def test_both_sides_continued_is_a_conflict(
    store: StateStore, tmp_path: Path, name: str, change: str
) -> None:
    path = tmp_path / "theirs.db"
    theirs = Messages(path) if name == "openai-agents" else Checkpoints(path)

    def go_on(n: int) -> None:
        if isinstance(theirs, Messages):
            theirs.add("a", said(str(n)))
            theirs.add("b", said(str(n)))
        else:
            theirs.put("a", str(n), {"x": n})
            theirs.put("b", str(n), {"x": n})

    with closing(theirs):
        go_on(1)
        go_on(2)
        assert bring(store, path, name).imported == 2
        ours = Journals(store, name).open("a")
        if change != "theirs":
            if change == "as long as before":
                ours.change(lambda draft: draft.pop())
            ours.append([said("ours")])
        if change != "ours":
            go_on(3)
        before = ours.head()
        report = bring(store, path, name)
        if change in {"ours", "theirs"}:
            assert report.complete
            assert report.added == (2 if change == "theirs" else 0)
        else:
            assert report.only_conflicts
            assert [each.name for each in report.failures] == [("a",)]
            assert report.failures[0].error.landed == "no"
            assert report.added == 1
            assert ours.head() == before


def test_a_dry_run_says_the_same_and_writes_nothing(store: StateStore, tmp_path: Path) -> None:
    messages, checkpoints = tmp_path / "messages.db", tmp_path / "checkpoints.db"
    transcript = tmp_path / "project" / "session.jsonl"
    transcript.parent.mkdir()
    transcript.write_text(json.dumps({"type": "user", "uuid": "u"}) + "\n{\n")
    with closing(Messages(messages)) as one, closing(Checkpoints(checkpoints)) as two:
        one.add("a", said("Hello"), "{")
        two.put("t", "1", {"x": 1})
        two.write("t", "1", "task", None, "y")
        for path, name in (
            (messages, "openai-agents"),
            (checkpoints, "langgraph"),
            (transcript, "claude-code"),
        ):
            would = bring(store, path, name, dry_run=True)
            assert not Journals(store, would.reports[0].collection).list()
            done = bring(store, path, name)
            assert (would.added, would.damaged, would.imported) == (
                done.added,
                done.damaged,
                done.imported,
            )
            assert done.damaged == 1
