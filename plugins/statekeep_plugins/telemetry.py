"""Spans and metrics for OpenTelemetry. Needs the extra ``otel``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from statekeep import ConfigError, __version__
from statekeep.events import (
    ConflictDetected,
    ConflictRetried,
    Event,
    OperationFinished,
    PruneFinished,
)
from statekeep.plugins import hookimpl

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as error:
    raise ConfigError(
        f"otel needs packages that are not installed ({error.name}): pip install 'statekeep[otel]'"
    ) from error

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["Telemetry"]

_SCOPE = "statekeep"
# The buckets of OpenTelemetry's own convention for database clients.
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Telemetry:
    """An observer that creates a span for each operation and counts metrics.

    Observers are called in the context of the operation, so a span is a child of the caller's.

    Args:
        tracer_provider: Where spans go; by default the global provider, whenever it is set.
        meter_provider: Where metrics go; by default the global provider, whenever it is set.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._durations = meter.create_histogram(
            "statekeep.operation.duration",
            "s",
            "How long operations took.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._requests = meter.create_counter(
            "statekeep.requests", "{request}", "Requests that stores sent, including retries."
        )
        self._conflicts = meter.create_counter(
            "statekeep.conflicts",
            "{conflict}",
            "Writes that found something other than expected.",
        )
        self._retries = meter.create_counter(
            "statekeep.retries", "{retry}", "Operations started again after a conflict."
        )
        self._pruned = meter.create_counter(
            "statekeep.pruned_sessions", "{session}", "Sessions that prunes deleted."
        )

    def __call__(self, event: Event) -> None:
        """Receive an event."""
        where = {"statekeep.store": event.store}
        match event:
            case OperationFinished():
                self._record(event)
            case ConflictDetected():
                self._conflicts.add(1, where)
            case ConflictRetried():
                self._retries.add(1, where)
            case PruneFinished():
                self._pruned.add(event.pruned, where)

    def _record(self, event: OperationFinished) -> None:
        what = {"statekeep.store": event.store, "statekeep.operation": event.operation}
        outcome = {"statekeep.outcome": event.outcome}
        failed = event.outcome != "ok"
        if failed:
            outcome["error.type"] = event.outcome
        subject = {} if event.subject is None else {"statekeep.subject": event.subject}
        begin = _nanoseconds(event.started_at)
        span = self._tracer.start_span(
            event.operation,
            start_time=begin,
            attributes=what | outcome | subject | {"statekeep.requests": event.requests},
        )
        if failed:
            span.set_status(trace.StatusCode.ERROR, event.outcome)
        span.end(begin + event.duration // _MICROSECOND * 1000)
        self._durations.record(event.duration.total_seconds(), what | outcome)
        self._requests.add(event.requests, what)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1000


_telemetry = Telemetry()


@hookimpl
def statekeep_event(event: Event) -> None:
    """Create spans and metrics for OpenTelemetry."""
    _telemetry(event)
