"""A store that does all of it wrong, to see that the experiments notice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.guarantees.candidates import Candidate

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Careless"]


class Careless(Candidate):
    """A file for each conversation, named by its id and written in place, piece by piece."""

    name = "careless"
    distributions = ("statekeep",)
    modules = ()
    _held: tuple[str, list[str]]

    def create(self, session_id: str) -> None:
        self._write(session_id, [])

    def turn(self, session_id: str, text: str, pause: float = 0) -> None:
        said = self.read(session_id)
        time.sleep(pause)
        self._write(session_id, [*said, text])

    def read(self, session_id: str) -> list[str]:
        said: list[str] = json.loads(self._path(session_id).read_text())
        return said

    def fill(self, session_id: str, texts: Sequence[str]) -> None:
        self._write(session_id, [*self.read(session_id), *texts])

    def hold(self, session_id: str) -> None:
        self._held = session_id, self.read(session_id)

    def append(self, text: str) -> None:
        session_id, said = self._held
        said.append(text)
        self._write(session_id, said)

    def newest(self, limit: int) -> Sequence[object]:
        files = [(path.stat().st_mtime, path.read_text()) for path in self.place.glob("*.json")]
        return sorted(files, reverse=True)[:limit]

    def delete(self, seen: Any) -> None:
        self._path(seen).unlink()

    def open_as(self, session_id: str, user: str) -> object:  # noqa: ARG002
        return self.read(session_id)

    def _path(self, session_id: str) -> Path:
        return Path(f"{self.place}/{session_id}.json")

    def _write(self, session_id: str, said: list[str]) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        data = json.dumps(said)
        with self._path(session_id).open("w") as file:
            for begin in range(0, len(data), 100):
                file.write(data[begin : begin + 100])
                file.flush()
