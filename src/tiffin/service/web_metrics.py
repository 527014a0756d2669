"""What Prometheus reads: counts since the service began, and what the journal has."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from tiffin.service.journal import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from tiffin.service.service import Service

__all__ = ["metrics_of"]


def metrics_of(service: Service) -> tuple[bytes, str]:
    """Return the metrics as text, and the type of this text."""
    registry = CollectorRegistry()
    registry.register(_Metrics(service))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Metrics(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterator[Metric]:
        return iter(())  # or else registration collects

    def collect(self) -> Iterator[Metric]:
        status, journal = self._service.status, self._service.journal
        counts, total = journal.counts(), status.total
        runs = GaugeMetricFamily("tiffin_runs", "Runs in the journal", labels=["state"])
        for state in get_args(State):
            runs.add_metric([state], counts.get(state, 0))
        yield runs
        frames = CounterMetricFamily(
            "tiffin_frames", "Frames since the start", labels=["status"]
        )
        for name in ("written", "skipped", "failed"):
            frames.add_metric([name], getattr(total, name))
        yield frames
        yield CounterMetricFamily(
            "tiffin_bytes", "Bytes of images, uncompressed", total.nbytes
        )
        yield CounterMetricFamily(
            "tiffin_export_seconds", "Time spent on exports", total.seconds
        )
        failures = CounterMetricFamily(
            "tiffin_failures", "Exports that failed, by cause", labels=["cause"]
        )
        for cause, count in sorted(status.failures.copy().items()):
            failures.add_metric([cause], count)
        yield failures
        yield GaugeMetricFamily(
            "tiffin_damaged_files",
            "Files of documents that can't be read to their end",
            len(self._service.damaged_files),
        )
        yield GaugeMetricFamily(
            "tiffin_queue", "Runs that wait to be exported", counts.get("waiting", 0)
        )
        yield GaugeMetricFamily(
            "tiffin_lag_seconds",
            "How long ago the oldest run has stopped that is not exported",
            journal.lag(),
        )
        yield GaugeMetricFamily(
            "tiffin_ready", "1 if runs are exported now", not self._service.trouble()
        )
