"""The pruning strategies that come with statekeep."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
)
from pydantic_core import from_json

from statekeep import Summary, load_pruner
from statekeep.plugins import PrunerSpec, hookimpl
from statekeep.retention import Victim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "AnyOf",
    "AnyOfConfig",
    "Expired",
    "KeepLastPerPhase",
    "MaxPerUser",
    "MaxSessions",
    "Member",
    "TimeToLive",
    "TimeToLiveAndCount",
    "TotalBytes",
]

_HOUR = timedelta(hours=1)


def _read(value: object) -> object:
    return from_json(value) if isinstance(value, str) else value


# Nested options are JSON in the environment and on the command line.
_Nested = BeforeValidator(_read)


class _Strategy(BaseModel):
    """A strategy is its own configuration: it consists only of its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TimeToLive(_Strategy):
    """Delete sessions that have not been updated for some time.

    Args:
        ttl_hours: How long a session lives after its last update; 0 disables this.
        users: Different times for some users, by user id.
    """

    ttl_hours: NonNegativeFloat = 168.0
    users: Annotated[dict[str, NonNegativeFloat], _Nested] = Field(default_factory=dict)

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        for summary in summaries:
            hours = self.users.get(summary.user_id or "", self.ttl_hours)
            # Divided rather than multiplied: no number of hours can overflow.
            if hours and (now - summary.updated_at) / _HOUR > hours:
                yield Victim(summary, f"not updated for {hours:g} hours")


class MaxSessions(_Strategy):
    """Keep only the newest sessions.

    Args:
        max_sessions: How many to keep; 0 disables this.
    """

    max_sessions: NonNegativeInt = 100

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        if self.max_sessions:
            for summary in _newest_first(summaries)[self.max_sessions :]:
                yield Victim(summary, f"older than the newest {self.max_sessions}")


class MaxPerUser(_Strategy):
    """Keep only the newest sessions of each user.

    Journals without an owner are left alone.

    Args:
        max_sessions: How many to keep for each user; 0 disables this.
        users: Different numbers for some users, by user id.
    """

    max_sessions: NonNegativeInt = 100
    users: Annotated[dict[str, NonNegativeInt], _Nested] = Field(default_factory=dict)

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        owned = [each for each in summaries if each.user_id is not None]
        for summary, limit in _beyond(
            owned, lambda each: each.user_id, self.users, self.max_sessions
        ):
            yield Victim(summary, f"older than the user's newest {limit}")


class KeepLastPerPhase(_Strategy):
    """Keep only the newest sessions of each phase, and optionally all that passed.

    A session's phase is the last one that a response reached; those without one form a group, too.

    Args:
        max_sessions: How many to keep for each phase; 0 disables this.
        phases: Different numbers for some phases.
        keep_passed: Whether to keep, and not count, those whose last evaluation passed.
    """

    max_sessions: NonNegativeInt = 100
    phases: Annotated[dict[str, NonNegativeInt], _Nested] = Field(default_factory=dict)
    keep_passed: bool = False

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        if self.keep_passed:
            summaries = [each for each in summaries if not each.last_evaluation]
        for summary, limit in _beyond(
            summaries, lambda each: each.last_phase, self.phases, self.max_sessions
        ):
            where = "without a phase" if summary.last_phase is None else f"in {summary.last_phase}"
            yield Victim(summary, f"older than the newest {limit} {where}")


class Expired(_Strategy):
    """Delete what has reached its own expiry time.

    `Sessions.expire` and `Journal.expire` set it; most have none.
    """

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        for summary in summaries:
            if summary.expires_at is not None and summary.expires_at <= now:
                yield Victim(summary, f"expired at {summary.expires_at:%Y-%m-%d %H:%M:%S} UTC")


class TotalBytes(_Strategy):
    """Delete the oldest sessions until the rest fit into a total size.

    Args:
        max_bytes: Maximum total size, as a number or text (``"2GiB"``); 0 disables this.
    """

    max_bytes: ByteSize

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        if not self.max_bytes:
            return
        total = 0
        for summary in _newest_first(summaries):
            total += summary.size
            if total > self.max_bytes:
                yield Victim(summary, f"beyond the newest {self.max_bytes.human_readable()}")


class TimeToLiveAndCount(_Strategy):
    """Apply a time to live, then keep only the newest sessions, as the original does.

    Args:
        max_sessions: Maximum number of sessions to keep; 0 disables this.
        ttl_hours: How long a session lives after its last update; 0 disables this.
    """

    max_sessions: NonNegativeInt = 100
    ttl_hours: NonNegativeFloat = 168.0

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        expired = list(TimeToLive(ttl_hours=self.ttl_hours).select(summaries, now))
        yield from expired
        rest = _without(expired, summaries)
        yield from MaxSessions(max_sessions=self.max_sessions).select(rest, now)


class Member(_Strategy):
    """A strategy by name, as passed to `statekeep.load_pruner`.

    Args:
        strategy: Its name, or ``dist:name``.
        options: Its options.
    """

    strategy: str
    options: dict[str, Any] = Field(default_factory=dict, repr=False)


class AnyOfConfig(_Strategy):
    """The configuration of `AnyOf`.

    Args:
        strategies: At least one; their order matters.
    """

    strategies: Annotated[list[Member], _Nested] = Field(min_length=1)


class AnyOf:
    """Delete whatever any of several strategies would delete, one after the other.

    Each one sees only what the previous ones left, so a limit counts only what remains.

    Args:
        config: The strategies.

    Raises:
        ConfigError, PluginError: As in `statekeep.load_pruner`.
    """

    def __init__(self, config: AnyOfConfig) -> None:
        self._strategies = [
            (member.strategy, load_pruner(member.strategy, **member.options))
            for member in config.strategies
        ]

    def __repr__(self) -> str:
        return f"any-of({', '.join(name for name, _ in self._strategies)})"

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        for name, strategy in self._strategies:
            victims = list(strategy.select(summaries, now))
            for victim in victims:
                yield Victim(victim.summary, f"{name}: {victim.reason}")
            summaries = _without(victims, summaries)


def _newest_first(summaries: Sequence[Summary]) -> list[Summary]:
    by_id = sorted(summaries, key=lambda summary: summary.id)
    # The sort is stable, and linear for input that is already sorted.
    return sorted(by_id, key=lambda summary: summary.updated_at, reverse=True)


def _beyond(
    summaries: Sequence[Summary],
    group: Callable[[Summary], str | None],
    limits: Mapping[str, int],
    limit: int,
) -> Iterator[tuple[Summary, int]]:
    """Yield what is older than the newest of its group, with the limit of that group."""
    seen: Counter[str | None] = Counter()
    for summary in _newest_first(summaries):
        name = group(summary)
        most = limit if name is None else limits.get(name, limit)
        seen[name] += 1
        if 0 < most < seen[name]:
            yield summary, most


def _without(victims: Sequence[Victim], summaries: Sequence[Summary]) -> list[Summary]:
    gone = {victim.summary.id for victim in victims}
    return [summary for summary in summaries if summary.id not in gone]


@hookimpl
def statekeep_pruners() -> list[PrunerSpec]:
    """Provide the built-in strategies."""
    offered: dict[str, type[_Strategy]] = {
        "expired": Expired,
        "keep-last-per-phase": KeepLastPerPhase,
        "max-per-user": MaxPerUser,
        "max-sessions": MaxSessions,
        "total-bytes": TotalBytes,
        "ttl": TimeToLive,
        "ttl+count": TimeToLiveAndCount,
    }
    return [
        # These strategies are their own config, so the factory returns the config.
        *(PrunerSpec(name, _says(strategy), strategy, lambda config: config)
          for name, strategy in offered.items()),
        PrunerSpec("any-of", _says(AnyOf), AnyOfConfig, AnyOf),
    ]  # fmt: skip


def _says(kind: type) -> str:
    return (kind.__doc__ or "").split("\n")[0]
