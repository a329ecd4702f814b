"""What OpenTelemetry gets to see: its own SDK, with exporters in memory."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from statekeep import (
    AsyncSessions,
    ConflictError,
    Documents,
    Retention,
    Session,
    Sessions,
    load_pruner,
    open_sessions,
    open_store,
)
from statekeep.config import load_settings
from statekeep.observe.emitter import count_request
from statekeep_backends.memory import MemoryStore
from statekeep_plugins import telemetry
from statekeep_plugins.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.store import Blob


class Otel:
    """OpenTelemetry as a program sets it up, with an observer for it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("the program")
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.observer = Telemetry(self.tracers, self.meters)

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def points(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        data = self.reader.get_metrics_data()
        assert data
        (scope,) = data.resource_metrics[0].scope_metrics
        assert scope.scope.name == "statekeep"
        (found,) = (each for each in scope.metrics if each.name == metric)
        return [(dict(point.attributes or {}), point) for point in found.data.data_points]

    def counted(self, metric: str) -> dict[str | None, int | float]:
        counted = {}
        for attributes, point in self.points(metric):
            assert isinstance(point, NumberDataPoint)
            assert attributes["statekeep.store"] == "memory:"
            counted[attributes.get("statekeep.operation")] = point.value
        return counted


@pytest.fixture
def otel() -> Iterator[Otel]:
    otel = Otel()
    yield otel
    otel.tracers.shutdown()
    otel.meters.shutdown()


class TestSpans:
    def test_say_store_operation_subject_and_outcome(self, otel: Otel) -> None:
        with open_store("memory:") as store:
            Sessions(store, observers=[otel.observer]).get_or_create("ada", "s")
            Documents(store, observers=[otel.observer]).save_json("specs/v1", "limits", 1)
        created, saved = otel.spans()
        assert created.name == "Sessions.get_or_create"
        assert dict(created.attributes or {}) == {
            "statekeep.store": "memory:",
            "statekeep.operation": "Sessions.get_or_create",
            "statekeep.subject": "s",
            "statekeep.outcome": "ok",
            "statekeep.requests": 0,
        }
        assert created.status.status_code is StatusCode.UNSET
        assert saved.attributes
        assert saved.attributes["statekeep.subject"] == "specs/v1/limits"

    def test_have_no_subject_where_there_is_none(self, otel: Otel) -> None:
        Sessions(MemoryStore(), observers=[otel.observer]).list()
        (span,) = otel.spans()
        assert "statekeep.subject" not in (span.attributes or {})

    def test_of_what_failed_are_errors(self, otel: Otel) -> None:
        sessions = Sessions(MemoryStore(), observers=[otel.observer])
        sessions.save(Session.new("ada", "s"))
        with pytest.raises(ConflictError):
            sessions.save(Session.new("eve", "s"))
        span = otel.spans()[-1]
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes
        assert span.attributes["error.type"] == "ConflictError"
        assert span.attributes["statekeep.outcome"] == "ConflictError"

    def test_begin_and_end_with_the_operation(
        self, otel: Otel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter([50.0, 51.25])
        monkeypatch.setattr("statekeep.observe.emitter.perf_counter", lambda: next(clock))
        with otel.tracer.start_as_current_span("caller"):
            Sessions(MemoryStore(), observers=[otel.observer]).load("s")
        span, caller = otel.spans()
        assert span.start_time
        assert span.end_time
        assert caller.start_time
        assert span.end_time - span.start_time == 1_250_000_000
        # The clock of the core has microseconds.
        assert span.start_time >= caller.start_time - 1000

    def test_are_children_of_the_callers(self, otel: Otel) -> None:
        sessions = Sessions(MemoryStore(), observers=[otel.observer])
        with otel.tracer.start_as_current_span("caller"):
            sessions.get_or_create("ada", "s")
        sessions.load("s")
        inner, caller, alone = otel.spans()
        assert inner.parent == caller.get_span_context()
        assert alone.parent is None

    @pytest.mark.anyio
    async def test_are_children_of_the_callers_across_a_hop(self, otel: Otel) -> None:
        async with AsyncSessions(MemoryStore(), observers=[otel.observer]) as sessions:
            with otel.tracer.start_as_current_span("caller"):
                await sessions.get_or_create("ada", "s")
        inner, caller = otel.spans()
        assert inner.parent == caller.get_span_context()

    def test_of_background_pruning_stand_alone(self, otel: Otel) -> None:
        retention = Retention(load_pruner("ttl"))
        with (
            Sessions(MemoryStore(), observers=[otel.observer], retention=retention) as sessions,
            otel.tracer.start_as_current_span("caller"),
        ):
            sessions.save(Session.new("ada"))
        spans = {span.name: span for span in otel.spans()}
        assert spans.keys() == {"Sessions.save", "Sessions.prune_in_background", "caller"}
        assert spans["Sessions.save"].parent
        assert spans["Sessions.prune_in_background"].parent is None


class TestMetrics:
    def test_count_conflicts_and_retries(self, otel: Otel) -> None:
        store = MemoryStore()
        sessions = Sessions(store, observers=[otel.observer])
        sessions.get_or_create("ada", "s")
        others = iter(range(3))

        def change(session: Session) -> None:
            if next(others, None) is not None:
                Sessions(store).update("s", lambda theirs: theirs.add_user_message("faster"))
            session.add_user_message("mine")

        sessions.update("s", change)
        with pytest.raises(ConflictError):
            sessions.save(Session.new("ada", "s"))
        assert otel.counted("statekeep.conflicts") == {None: 4}
        assert otel.counted("statekeep.retries") == {None: 3}

    def test_count_what_was_pruned(self, otel: Otel) -> None:
        sessions = Sessions(MemoryStore(), observers=[otel.observer])
        for _ in range(5):
            sessions.get_or_create("ada")
        sessions.prune(load_pruner("max-sessions", max_sessions=2))
        sessions.prune(load_pruner("max-sessions", max_sessions=1))
        assert otel.counted("statekeep.pruned_sessions") == {None: 4}

    def test_count_the_requests_of_each_operation(self, otel: Otel) -> None:
        class Remote(MemoryStore):
            def get(self, key: str) -> Blob | None:
                count_request()
                return super().get(key)

        sessions = Sessions(Remote(), observers=[otel.observer])
        sessions.get_or_create("ada", "s")
        sessions.load("s")
        sessions.load("s")
        assert otel.counted("statekeep.requests") == {
            "Sessions.get_or_create": 1,
            "Sessions.load": 2,
        }
        assert [(span.attributes or {})["statekeep.requests"] for span in otel.spans()] == [1] * 3

    def test_have_the_durations_by_outcome(
        self, otel: Otel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter([1.0, 1.5, 2.0, 2.25, 3.0, 3.125])
        monkeypatch.setattr("statekeep.observe.emitter.perf_counter", lambda: next(clock))
        sessions = Sessions(MemoryStore(), observers=[otel.observer])
        sessions.load("s")
        sessions.load("s")
        with pytest.raises(ValueError, match="empty"):
            sessions.load("")
        points = otel.points("statekeep.operation.duration")
        assert {each["statekeep.outcome"]: (p.count, p.sum) for each, p in points} == {
            "ok": (2, 0.75),
            "InvalidKeyError": (1, 0.125),
        }
        assert max(points[0][1].explicit_bounds) == 10


class TestTheObserver:
    def test_is_chosen_by_its_name(self, otel: Otel, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(telemetry, "_telemetry", otel.observer)
        with open_sessions(load_settings(url="memory:", observers="otel")) as sessions:
            sessions.get_or_create("ada", "s")
        assert [span.name for span in otel.spans()] == ["Sessions.get_or_create"]

    def test_costs_the_caller_no_error_if_nothing_is_set_up(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with open_sessions(load_settings(url="memory:", observers="otel")) as sessions:
            sessions.get_or_create("ada", "s")
            sessions.prune(load_pruner("ttl"), min_idle=timedelta(hours=1))
        assert not caplog.records

    def test_is_safe_under_threads_and_loops(self, otel: Otel) -> None:
        sessions = Sessions(MemoryStore(), observers=[otel.observer])

        async def main() -> None:
            async with AsyncSessions(sessions.store, observers=[otel.observer]) as concurrent:
                await asyncio.gather(*(concurrent.get_or_create("ada") for _ in range(50)))

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(otel.spans()) == 100
        ((_, point),) = otel.points("statekeep.operation.duration")
        assert point.count == 100
