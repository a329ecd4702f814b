"""The strategies that come with statekeep: what each deletes, and what all have in common."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeep import ConfigError, SessionSummary, load_pruner
from statekeep.config import load_settings
from statekeep.errors import PluginNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from statekeep.retention import PruningStrategy

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def summary(
    name: str,
    hours: float = 0,
    user: str = "ada",
    phase: str | None = None,
    passed: bool | None = None,
    size: int = 10,
) -> SessionSummary:
    moment = NOW - hours * HOUR
    return SessionSummary(
        id=name,
        user_id=user,
        message_count=1,
        active_seed_id=None,
        project_id=None,
        created_at=moment,
        updated_at=moment,
        size=size,
        pinned_until=None,
        last_phase=phase,
        last_evaluation=passed,
    )


def victims(strategy: PruningStrategy, summaries: Sequence[SessionSummary]) -> dict[str, str]:
    return {victim.summary.id: victim.reason for victim in strategy.select(summaries, NOW)}


def chosen(strategy: PruningStrategy, summaries: Sequence[SessionSummary]) -> str:
    return "".join(sorted(victims(strategy, summaries)))


class TestPerUser:
    MIXED = tuple(summary(name, n, "ada" if n % 2 else "bot") for n, name in enumerate("abcdef"))

    def test_some_users_may_keep_more_or_fewer(self) -> None:
        strategy = load_pruner("max-per-user", max_sessions=2, users={"bot": 1})
        assert victims(strategy, self.MIXED) == {
            "c": "older than the user's newest 1",
            "e": "older than the user's newest 1",
            "f": "older than the user's newest 2",
        }

    def test_some_users_may_keep_all(self) -> None:
        assert chosen(
            load_pruner("max-per-user", max_sessions=1, users={"ada": 0}), self.MIXED
        ) == ("ce")

    def test_sessions_of_some_users_may_live_for_longer_or_shorter(self) -> None:
        strategy = load_pruner("ttl", ttl_hours=4, users={"bot": 1.5, "ada": 0})
        assert victims(strategy, self.MIXED) == dict.fromkeys("ce", "not updated for 1.5 hours")
        assert chosen(load_pruner("ttl", ttl_hours=0, users={"bot": 1.5}), self.MIXED) == "ce"


class TestPerPhase:
    PHASES = tuple(
        summary(name, n, phase=phase, passed=passed)
        for n, (name, phase, passed) in enumerate(
            [
                ("a", "plan", None),
                ("b", "review", True),
                ("c", "plan", False),
                ("d", None, None),
                ("e", "plan", True),
                ("f", "review", False),
                ("g", None, None),
            ]
        )
    )

    def test_the_newest_of_each_phase_are_kept(self) -> None:
        strategy = load_pruner("keep-last-per-phase", max_sessions=1)
        assert victims(strategy, self.PHASES) == {
            "c": "older than the newest 1 in plan",
            "e": "older than the newest 1 in plan",
            "f": "older than the newest 1 in review",
            "g": "older than the newest 1 without a phase",
        }

    def test_some_phases_may_keep_more_or_all(self) -> None:
        options: dict[str, Any] = {"max_sessions": 1, "phases": {"plan": 2, "review": 0}}
        assert chosen(load_pruner("keep-last-per-phase", **options), self.PHASES) == "eg"

    def test_what_passed_may_be_kept_and_then_does_not_count(self) -> None:
        strategy = load_pruner("keep-last-per-phase", max_sessions=1, keep_passed=True)
        assert chosen(strategy, self.PHASES) == "cg"


class TestTotalBytes:
    SIZES = tuple(
        summary(name, n, size=size)
        for n, (name, size) in enumerate(zip("abcd", (40, 30, 30, 1)))  # noqa: B905
    )

    @pytest.mark.parametrize(
        ("most", "gone"), [(101, ""), (100, "d"), (99, "cd"), (70, "cd"), (69, "bcd"), (39, "abcd")]
    )
    def test_the_oldest_go_until_the_rest_fits(self, most: int, gone: str) -> None:
        assert chosen(load_pruner("total-bytes", max_bytes=most), self.SIZES) == gone

    def test_the_limit_may_be_text(self) -> None:
        big = [summary(name, n, size=2**29) for n, name in enumerate("abc")]
        assert victims(load_pruner("total-bytes", max_bytes="1GiB"), big) == {
            "c": "beyond the newest 1.0GiB"
        }

    def test_zero_switches_it_off_and_there_is_no_default(self) -> None:
        assert chosen(load_pruner("total-bytes", max_bytes=0), self.SIZES) == ""
        with pytest.raises(ConfigError, match="max_bytes"):
            load_pruner("total-bytes")
        for wrong in (-1, "much", None):
            with pytest.raises(ConfigError, match="max_bytes"):
                load_pruner("total-bytes", max_bytes=wrong)


class TestAnyOf:
    SPAM = (
        *(summary(f"spam{n}", n, user="bot") for n in range(8)),
        *(summary(name, 10 + n, user=name) for n, name in enumerate("abcd")),
        summary("old", 1000),
    )

    def test_a_victim_of_any_is_one_and_the_reason_says_of_which(self) -> None:
        strategy = load_pruner(
            "any-of",
            strategies=[
                {"strategy": "ttl", "options": {"ttl_hours": 100}},
                {"strategy": "statekeep:max-per-user", "options": {"max_sessions": 7}},
            ],
        )
        assert victims(strategy, self.SPAM) == {
            "old": "ttl: not updated for 100 hours",
            "spam7": "statekeep:max-per-user: older than the user's newest 7",
        }
        assert repr(strategy) == "any-of(ttl, statekeep:max-per-user)"

    def test_a_limit_counts_what_those_before_it_leave(self) -> None:
        per_user = {"strategy": "max-per-user", "options": {"max_sessions": 1}}
        in_all = {"strategy": "max-sessions", "options": {"max_sessions": 4}}
        strategy = load_pruner("any-of", strategies=[per_user, in_all])
        left = [each.id for each in self.SPAM if each.id not in victims(strategy, self.SPAM)]
        assert left == ["spam0", "a", "b", "c"]
        # The other way round, the bot's sessions have used up the limit of all.
        strategy = load_pruner("any-of", strategies=[in_all, per_user])
        left = [each.id for each in self.SPAM if each.id not in victims(strategy, self.SPAM)]
        assert left == ["spam0"]

    def test_is_what_the_original_does_of_its_two_rules(self) -> None:
        rules = [
            {"strategy": "ttl", "options": {"ttl_hours": 10.5}},
            {"strategy": "max-sessions", "options": {"max_sessions": 4}},
        ]
        both = load_pruner("any-of", strategies=rules)
        original = load_pruner("ttl+count", ttl_hours=10.5, max_sessions=4)
        assert chosen(both, self.SPAM) == chosen(original, self.SPAM)

    def test_can_hold_itself(self) -> None:
        inner = {"strategies": [{"strategy": "ttl", "options": {"ttl_hours": 100}}]}
        nested = load_pruner("any-of", strategies=[{"strategy": "any-of", "options": inner}])
        assert victims(nested, self.SPAM) == {"old": "any-of: ttl: not updated for 100 hours"}

    def test_what_is_wrong_with_one_of_them_is_said(self) -> None:
        with pytest.raises(ConfigError, match=r"strategy 'ttl'.*hours.*known: ttl_hours, users"):
            load_pruner("any-of", strategies=[{"strategy": "ttl", "options": {"hours": 1}}])
        with pytest.raises(PluginNotFoundError, match="did you mean 'ttl'"):
            load_pruner("any-of", strategies=[{"strategy": "tll"}])
        with pytest.raises(ConfigError, match=r"strategies\.0\.option\b"):
            load_pruner("any-of", strategies=[{"strategy": "ttl", "option": {}}])
        wrongs: list[object] = [[], "[", "{}", None]
        for wrong in wrongs:
            with pytest.raises(ConfigError, match="strategies"):
                load_pruner("any-of", strategies=wrong)


class TestConfiguration:
    """All of it can be chosen without a line of code."""

    WANTED = (
        '[{"strategy": "ttl", "options": {"users": {"Bot": 24}}},'
        ' {"strategy": "total-bytes", "options": {"max_bytes": "1GiB"}}]'
    )
    FOUND = tuple(
        summary(name, hours, user=user, size=size)
        for name, hours, user, size in [
            ("a", 1, "ada", 2**29),
            ("b", 25, "Bot", 1),
            ("c", 26, "ada", 2**29),
            ("d", 27, "ada", 1),
        ]
    )

    def strategy(self) -> PruningStrategy:
        retention = load_settings().retention
        assert retention
        return load_pruner(retention.strategy, **retention.options)

    def test_in_a_file(self, empty_folder: Path) -> None:
        (empty_folder / "statekeep.toml").write_text("""
[retention]
strategy = "any-of"

[[retention.options.strategies]]
strategy = "ttl"
options = { users = { Bot = 24 } }

[[retention.options.strategies]]
strategy = "total-bytes"
options = { max_bytes = "1GiB" }
""")
        assert chosen(self.strategy(), self.FOUND) == "bd"

    @pytest.mark.usefixtures("empty_folder")
    @pytest.mark.parametrize("whole", [True, False])
    def test_in_the_environment(self, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "any-of")
        if whole:
            options = f'{{"strategies": {self.WANTED}}}'
            monkeypatch.setenv("STATEKEEP_RETENTION__OPTIONS", options)
        else:
            monkeypatch.setenv("STATEKEEP_RETENTION__OPTIONS__STRATEGIES", self.WANTED)
        assert chosen(self.strategy(), self.FOUND) == "bd"

    @pytest.mark.usefixtures("empty_folder")
    @pytest.mark.parametrize(
        ("name", "option", "value", "gone"),
        [
            ("ttl", "USERS", '{"Bot": 24}', "b"),
            ("max-per-user", "USERS", '{"ada": 1}', "cd"),
            ("keep-last-per-phase", "MAX_SESSIONS", "3", "d"),
            ("total-bytes", "MAX_BYTES", "0.6GiB", "cd"),
        ],
    )
    def test_option_by_option(
        self, monkeypatch: pytest.MonkeyPatch, name: str, option: str, value: str, gone: str
    ) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", name)
        monkeypatch.setenv(f"STATEKEEP_RETENTION__OPTIONS__{option}", value)
        assert chosen(self.strategy(), self.FOUND) == gone


USERS = PHASES = ("x", "y", "z")
LIMITS = st.integers(0, 6)
SIMPLE = st.one_of(
    st.fixed_dictionaries(
        {"ttl_hours": st.integers(0, 9), "users": st.dictionaries(st.sampled_from(USERS), LIMITS)}
    ).map(lambda options: ("ttl", options)),
    st.fixed_dictionaries({"max_sessions": LIMITS}).map(lambda options: ("max-sessions", options)),
    st.fixed_dictionaries(
        {"max_sessions": LIMITS, "users": st.dictionaries(st.sampled_from(USERS), LIMITS)}
    ).map(lambda options: ("max-per-user", options)),
    st.fixed_dictionaries(
        {
            "max_sessions": LIMITS,
            "phases": st.dictionaries(st.sampled_from(PHASES), LIMITS),
            "keep_passed": st.booleans(),
        }
    ).map(lambda options: ("keep-last-per-phase", options)),
    st.fixed_dictionaries({"max_bytes": st.integers(0, 60)}).map(
        lambda options: ("total-bytes", options)
    ),
    st.fixed_dictionaries({"max_sessions": LIMITS, "ttl_hours": st.integers(0, 9)}).map(
        lambda options: ("ttl+count", options)
    ),
)
CHOICES = SIMPLE | st.lists(SIMPLE, min_size=1, max_size=3).map(
    lambda members: (
        "any-of",
        {"strategies": [{"strategy": name, "options": options} for name, options in members]},
    )
)
# Few hours, so that many are equal; some lie in the future.
SUMMARIES = st.lists(
    st.builds(
        summary,
        st.text("abcdefgh", min_size=1, max_size=3),
        st.integers(-3, 10),
        st.sampled_from(USERS),
        st.sampled_from([None, *PHASES]),
        st.sampled_from([None, True, False]),
        st.integers(0, 20),
    ),
    max_size=20,
    unique_by=lambda each: each.id,
)


class TestAllOfThem:
    @given(SUMMARIES, CHOICES, st.randoms(use_true_random=False))
    def test_choose_some_of_what_they_see_once_and_again_the_same(
        self, summaries: list[SessionSummary], choice: tuple[str, dict[str, Any]], random: Any
    ) -> None:
        strategy = load_pruner(choice[0], **choice[1])
        first = list(strategy.select(summaries, NOW))
        assert first == list(strategy.select(summaries, NOW))
        gone = [victim.summary for victim in first]
        assert len(set(gone)) == len(gone)
        assert set(gone) <= set(summaries)
        assert all(victim.reason for victim in first)
        shuffled = summaries.copy()
        random.shuffle(shuffled)
        assert {victim.summary for victim in strategy.select(shuffled, NOW)} == set(gone)

    @given(SUMMARIES, CHOICES)
    def test_find_nothing_more_in_what_they_left(
        self, summaries: list[SessionSummary], choice: tuple[str, dict[str, Any]]
    ) -> None:
        strategy = load_pruner(choice[0], **choice[1])
        gone = {victim.summary for victim in strategy.select(summaries, NOW)}
        rest = [each for each in summaries if each not in gone]
        assert list(strategy.select(rest, NOW)) == []

    @given(SUMMARIES, CHOICES)
    def test_prefer_the_newer_of_what_differs_in_nothing_else(
        self, summaries: list[SessionSummary], choice: tuple[str, dict[str, Any]]
    ) -> None:
        alike = [
            dataclasses.replace(each, user_id="x", last_phase="x", last_evaluation=None, size=5)
            for each in summaries
        ]
        strategy = load_pruner(choice[0], **choice[1])
        gone = {victim.summary for victim in strategy.select(alike, NOW)}
        left = [each.updated_at for each in alike if each not in gone]
        assert all(each.updated_at <= min(left, default=NOW + 9 * HOUR) for each in gone)

    @given(SUMMARIES, st.integers(1, 9))
    def test_take_nothing_of_the_future_for_its_age(
        self, summaries: list[SessionSummary], hours: int
    ) -> None:
        for victim in load_pruner("ttl", ttl_hours=hours).select(summaries, NOW):
            assert victim.summary.updated_at < NOW

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("ttl", {"ttl_hours": 1}),
            ("max-sessions", {"max_sessions": 5}),
            ("max-per-user", {"max_sessions": 5}),
            ("keep-last-per-phase", {"max_sessions": 5, "keep_passed": True}),
            ("total-bytes", {"max_bytes": 5}),
            ("ttl+count", {"max_sessions": 5, "ttl_hours": 10**6}),
            (
                "any-of",
                {
                    "strategies": [
                        {"strategy": "ttl", "options": {"ttl_hours": 60}},
                        {"strategy": "max-per-user", "options": {"max_sessions": 9}},
                    ]
                },
            ),
        ],
    )
    def test_look_at_each_session_a_fixed_number_of_times(
        self, name: str, options: dict[str, Any]
    ) -> None:
        looks = 0

        class Watched(SessionSummary):
            __slots__ = ()

            def __getattribute__(self, attribute: str) -> Any:
                nonlocal looks
                looks += 1
                return super().__getattribute__(attribute)

            def __eq__(self, other: object) -> bool:
                nonlocal looks
                looks += 1
                return self is other

            __hash__ = SessionSummary.__hash__

        def looks_at(count: int) -> int:
            nonlocal looks
            many = [
                Watched(**dataclasses.asdict(summary(f"{n:05}", n % 97, f"u{n % 7}", f"p{n % 5}")))
                for n in range(count)
            ]
            looks = 0
            assert len(list(load_pruner(name, **options).select(many, NOW))) > count / 2
            return looks

        assert looks_at(4000) <= 4.2 * looks_at(1000)
