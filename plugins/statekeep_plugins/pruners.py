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


# What is nested is JSON in the environment and on the command line.
_Nested = BeforeValidator(_read)


class _Strategy(BaseModel):
    """Its own configuration: a strategy is nothing but its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TimeToLive(_Strategy):
    """Delete sessions that were not updated for some time.

    Args:
        ttl_hours: For how long a session lives after its last update; 0 switches it off.
        users: Other times for some users, by their id.
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
    """Keep the newest sessions only.

    Args:
        max_sessions: How many; 0 switches it off.
    """

    max_sessions: NonNegativeInt = 100

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:  # noqa: ARG002
        """See `statekeep.PruningStrategy`."""
        if self.max_sessions:
            for summary in _newest_first(summaries)[self.max_sessions :]:
                yield Victim(summary, f"older than the newest {self.max_sessions}")


class MaxPerUser(_Strategy):
    """Keep each user's newest sessions only.

    Journals that belong to no user are left alone.

    Args:
        max_sessions: How many of each user; 0 switches it off.
        users: Other numbers for some users, by their id.
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
    """Keep the newest sessions of each phase only, and perhaps all that passed.

    A session's phase is the last that a response reached; those without one are a group, too.

    Args:
        max_sessions: How many of each phase; 0 switches it off.
        phases: Other numbers for some phases.
        keep_passed: Whether to keep, and not to count, all whose last evaluation passed.
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
    """Delete what has come to the end that it carries itself.

    `Sessions.expire` and `Journal.expire` set that end; most have none.
    """

    def select(self, summaries: Sequence[Summary], now: datetime) -> Iterator[Victim]:
        """See `statekeep.PruningStrategy`."""
        for summary in summaries:
            if summary.expires_at is not None and summary.expires_at <= now:
                yield Victim(summary, f"expired at {summary.expires_at:%Y-%m-%d %H:%M:%S} UTC")


class TotalBytes(_Strategy):
    """Delete the oldest sessions until the rest fits.

    Args:
        max_bytes: How much room the sessions may take, as a number or as text (``"2GiB"``); 0
            switches it off.
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
    """What the original does: first the time to live, then of the rest the newest only.

    Args:
        max_sessions: How many to keep at most; 0 switches it off.
        ttl_hours: For how long a session lives after its last update; 0 switches it off.
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
    """A strategy by its name, as `statekeep.load_pruner` takes it.

    Args:
        strategy: Its name, or ``dist:name``.
        options: What it takes.
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
    """Delete what any of several strategies deletes, one after the other.

    Each is shown what those before it leave, so a limit counts only what remains.

    Args:
        config: Which strategies.

    Raises:
        ConfigError, PluginError: As `statekeep.load_pruner`.
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
    # Stable and, on what is sorted already, linear.
    return sorted(by_id, key=lambda summary: summary.updated_at, reverse=True)


def _beyond(
    summaries: Sequence[Summary],
    group: Callable[[Summary], str | None],
    limits: Mapping[str, int],
    limit: int,
) -> Iterator[tuple[Summary, int]]:
    """What is older than the newest so many of its group, and how many those are."""
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
    """Offer the built-in strategies."""
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
        # Such a strategy is its own config, so making one from its config is handing it on.
        *(PrunerSpec(name, _says(strategy), strategy, lambda config: config)
          for name, strategy in offered.items()),
        PrunerSpec("any-of", _says(AnyOf), AnyOfConfig, AnyOf),
    ]  # fmt: skip


def _says(kind: type) -> str:
    return (kind.__doc__ or "").split("\n")[0]
