"""How numbers become what Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from publisher.metrics import LAG_BOUNDS, OURS, Distribution, Metric, Values


class Exporter:
    """Writes down the numbers of one moment, which `ask` returns."""

    def __init__(self, ask: Callable[[], Values]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Asking(ask))
        ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type, in the format that an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Asking(Collector):
    def __init__(self, ask: Callable[[], Values]) -> None:
        self._ask = ask

    def describe(self) -> Iterable[Any]:
        """Name nothing ahead: the table above names each metric once, and the test looks."""
        return ()

    def collect(self) -> Iterator[Any]:
        """Return what there is to say of each metric, those without any number left out."""
        values = self._ask()
        for metric in OURS:
            if family := _family(metric, list(values.get(metric.name, ()))):
                yield family


def _family(metric: Metric, found: Sequence[tuple[Sequence[str], float | Distribution]]) -> Any:  # noqa: ANN401 - one of three
    if not found:
        return None
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in found:
            if isinstance(value, Distribution):
                bounds = (*(str(bound) for bound in LAG_BOUNDS), "+Inf")
                histogram.add_metric(labels, list(zip(bounds, accumulate(value.numbers), strict=True)), value.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in found:
        if not isinstance(value, Distribution):
            family.add_metric(labels, value)
    return family
