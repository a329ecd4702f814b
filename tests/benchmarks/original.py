"""The original, running: its command line answers requests on a pipe.

What a request costs beside the work is taken off. A session is saved by a request that holds its
text; the same request with an id that is refused costs the same but for the save. All sessions are
loaded by a prune that has nothing to delete: it lists, which is to load each and to sort. One
thread answers, beside the threads for files: so a save costs what it does in a loop of its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

import orjson

from benchmarks.subjects import Cost, Subject

__all__ = ["Original"]


class Original(Subject):
    """The original's store, in a process that stays.

    Args:
        place: A folder.
        binary: The path of its command line.
    """

    def __init__(self, place: str, binary: str) -> None:
        super().__init__(place)
        # With a backtrace for each refusal, that would cost what a save does.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RUST_")}
        self._process = subprocess.Popen(
            [binary, "--current-thread", "serve", place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        # The clock of another process; see clock_getcpuclockid(3).
        self._clock = (~self._process.pid << 3) | 2
        self._sessions: dict[int, dict[str, Any]] = {}
        self._stored: set[str] = set()
        self._ask({"op": "load_session", "id": "nobody"})  # its threads start with the first

    def make(self, number: int) -> None:
        self._sessions[number] = orjson.loads(self.documents[number][1])

    def add(self, number: int, question: str, answer: str) -> None:
        session = self._sessions[number]
        session["user_messages"][-1]["content"] = question
        session["agent_responses"][-1]["content"] = answer

    def measure(self, work: str, *arguments: Any) -> tuple[Cost, Any]:
        if work in {"create", "update"}:
            return self._save_all("save_session" if work == "create" else "update_session"), None
        if work == "load":
            return self._load_all(), None
        if work == "turn":
            loaded = self._load_all()
            for each in self._at_hand():
                moment = each["updated_at"]
                each["user_messages"].append({"content": "go on", "timestamp": moment})
            return loaded + self._save_all("update_session"), None
        if work == "newest":
            found = self._ask({"op": "list_sessions"})
            return self._list(), found[: arguments[0]]
        assert work == "prune"
        return self._timed(_prune(keep=arguments[1]))

    def create(self, number: int) -> None:
        raise NotImplementedError  # as all work, it is done by `measure`

    update = load = create

    @classmethod
    def can(cls, work: str) -> bool:  # noqa: ARG003
        return True

    def close(self) -> None:
        self._process.communicate()

    def _at_hand(self) -> list[dict[str, Any]]:
        return [self._sessions[number] for number in self.numbers]

    def _save_all(self, op: str) -> Cost:
        pairs = []
        for each in self._at_hand():
            session_id, text = each["id"], orjson.dumps(each, option=orjson.OPT_INDENT_2).decode()
            refused = text.replace(session_id, f"..{session_id[2:]}", 1)
            refused_line = _line({"op": op, "text": refused})
            pairs.append((session_id, refused_line, _line({"op": op, "text": text})))
        total = Cost(0, 0)
        for (
            session_id,
            refused_line,
            line,
        ) in pairs:  # in turns, so that what disturbs one disturbs both
            nothing, answer = self._timed(refused_line, "err")
            assert "invalid file name" in answer, answer
            cost, _ = self._timed(line)
            total += cost - nothing
            self._stored.add(session_id)
        return total

    def _load_all(self) -> Cost:
        # Of all that are stored, those at hand are the most.
        one = self._list() / len(self._stored)
        count = len(self.numbers)
        return Cost(count * one.wall, count * one.cpu)

    def _list(self) -> Cost:
        cost, pruned = self._timed(_prune(keep=10**9))
        assert pruned == 0
        return cost

    def _ask(self, request: dict[str, Any]) -> Any:
        return self._timed(_line(request))[1]

    def _timed(self, line: bytes, wanted: str = "ok") -> tuple[Cost, Any]:
        """Send a request; its cost, and the answer."""
        assert self._process.stdin
        assert self._process.stdout
        start = self._now()
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        cost = self._now() - start
        found = orjson.loads(answer)
        if wanted not in found:
            raise AssertionError(f"the original answers {found}")
        return cost, found[wanted]

    def _now(self) -> Cost:
        return Cost(time.perf_counter(), time.clock_gettime(self._clock))


def _line(request: dict[str, Any]) -> bytes:
    return orjson.dumps(request) + b"\n"


def _prune(keep: int) -> bytes:
    return _line({"op": "prune_sessions", "max_sessions": keep, "ttl_hours": 0})
