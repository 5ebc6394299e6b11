"""From a request and its result to the record of both."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.work import Work
from specnet.wire import Result
from specnet.wire.records import ResultRecord, SpectrumSource

MAX_SOURCES = 256


class RecordMaker:
    """Makes records in the worker's thread, some microseconds each; axes are described once a bundle."""

    def __init__(self) -> None:
        self._sources: dict[str, SpectrumSource] = {}
        self._second, self._clock_text = -1, ""

    def make(self, work: Work, result: Result, now: float) -> ResultRecord:
        """Record what became of a request at `now`, in seconds since 1970."""
        request, key, manifest = work.request, work.key, work.model.manifest
        provisional = request.provisional
        classes, failed = manifest.classes, bool(result.error)
        return ResultRecord(
            time=self._time(now),
            site=key.site,
            device=key.device,
            boot=key.boot,
            sequence=key.sequence,
            bundle=key.bundle,
            split=key.split,
            checksum=key.crc32,
            bundle_name=manifest.name,
            bundle_version=manifest.version,
            label=None if failed else result.label,
            class_name="" if failed else classes[result.label],
            probability=None if failed else result.probability,
            exit_index=None if failed else result.exit_index,
            known=result.known,
            audit=request.audit,
            provisional_label=None if provisional is None else provisional.label,
            # the device's number comes from outside and may be no class
            provisional_class_name=_name(classes, None if provisional is None else provisional.label),
            provisional_probability=None if provisional is None else provisional.probability,
            provisional_exit_index=None if provisional is None else provisional.exit_index,
            macs=result.macs,
            queue_ms=result.queue_ms,
            compute_ms=result.compute_ms,
            gateway=result.gateway,
            error=result.error,
            spectrum=work.raw,
            source=self._source(work) if work.raw else None,
        )

    def _time(self, now: float) -> str:
        # writing a moment out takes as long as all the rest, so the text of the present second is kept
        second = int(now)
        if second != self._second:
            self._second, self._clock_text = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._clock_text}.{int(1e3 * (now - second)):03d}+00:00"

    def _source(self, work: Work) -> SpectrumSource:
        source = self._sources.get(work.key.bundle)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                self._sources.clear()
            source = SpectrumSource.of(work.model.preprocess.source, work.model.manifest.intensity_unit)
            self._sources[work.key.bundle] = source
        return source


def _name(classes: tuple[str, ...], label: int | None) -> str:
    return classes[label] if label is not None and 0 <= label < len(classes) else ""
