"""Whether this machine can be a gateway: engine, bundles, broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from gateway.check import Check
from gateway.config import GatewaySettings
from gateway.engine import EngineSettings, create_engine
from gateway.last_words import LastWords
from gateway.models import ModelStore
from gateway.own_certificates import check_certificates
from specnet.errors import SpecnetError
from specnet.mqtt import MqttSession

_LOGGER = logging.getLogger(__name__)
CONNECT_TIMEOUT_S = 5.0


def run_checks(settings: GatewaySettings) -> list[Check]:
    """Try everything that `serve` needs; a failure is a `Check`, not an error."""
    return [*_check_models(settings), *check_certificates(settings.broker), _check_broker(settings)]


def _check_models(settings: GatewaySettings) -> Iterator[Check]:
    try:
        engine = create_engine(EngineSettings(device=settings.device, engine=settings.engine, threads=settings.threads))
    except SpecnetError as error:
        yield Check("engine", False, str(error))
        return
    yield Check("engine", True, engine.name)
    try:
        store = ModelStore(settings.store, engine)
        scan = store.rescan()
    except (SpecnetError, OSError) as error:
        yield Check("store", False, str(error))
        return
    yield Check("store", bool(store.models), f"{len(store.models)} bundles in {settings.store!r}")
    for model in store.models:
        name = f"bundle {model.manifest.name} {model.manifest.version}"
        yield Check(name, True, f"{model.bundle_id}, largest deviation {model.deviation:.1e}")
    for bad in scan.bad:
        yield Check(f"bundle {bad.path}", False, bad.reason)


def _check_broker(settings: GatewaySettings) -> Check:
    what = f"broker {settings.broker.host}:{settings.broker.port}"
    up = threading.Event()
    words = LastWords(_LOGGER)
    try:
        session = MqttSession(
            settings.broker,
            "specnet-gateway-selftest",
            on_message=lambda _: None,
            on_up=up.set,
            logger=words.logger,
        )
    except SpecnetError as error:
        return Check(what, False, str(error))
    session.start()
    try:
        if up.wait(CONNECT_TIMEOUT_S):
            return Check(what, True, f"MQTT {session.protocol}")
        return Check(
            what, False, words.text.removeprefix(f"{what}: ") or f"no connection within {CONNECT_TIMEOUT_S:g} s"
        )
    finally:
        session.stop()
