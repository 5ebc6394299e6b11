"""A gateway's results without a gateway: records go on and on into a sink, until the process is killed.

``python sink_program.py KIND FOLDER FIRST``: records of successive spectra from number FIRST; one line of JSON with the
number of the last one for every ten.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from support_sinks import record

from gateway.sinks.recorder import ResultRecorder
from gateway.sinks.registry import create_recorder
from gateway.sinks.settings import Hdf5Settings, SinkSettings, SpoolSettings
from specnet.mqtt import BrokerSettings


def main() -> None:
    kind, folder, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    settings = SinkSettings(
        kind=kind, batch=16, spool=SpoolSettings(gather_s=0.01), hdf5=Hdf5Settings(publish_s=0.0, max_bytes=1 << 16)
    )
    recorder = create_recorder(settings, folder, BrokerSettings(), CollectorRegistry())
    assert isinstance(recorder, ResultRecorder)
    recorder.start()
    for sequence in itertools.count(first):
        recorder._handover.put(record(sequence))
        if sequence % 10 == 0:
            sys.stdout.write(f"{sequence}\n")
            sys.stdout.flush()
        time.sleep(0.0005)


if __name__ == "__main__":
    main()
