"""Does the broker accept the configuration, and do its rules hold? Each rule is tried by real clients.

Every client subscribes to all that it would like to hear. What arrives is what the rules let through. A message that
must not arrive is followed by one that must, from a client that may send it: when the second is there, the first would
be, too.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from gateway.broker_config.folder import AUTHORITY_KEY_FILE
from gateway.broker_config.limits import packet_bytes
from gateway.broker_config.plan import BrokerPlan, split_device
from gateway.broker_config.trial import MADE_UP, TrialBroker
from gateway.check import Check
from gateway.last_words import LastWords
from specnet.errors import BrokerError
from specnet.mqtt import Incoming, MqttSession, Will
from specnet.wire import Topics, shared_offload_filter, site_model_topic
from specnet.wire.topics import PREFIX

PATIENCE_S = 10.0
POLL_S = 0.005
NONCE_BYTES = 8
NO_MOSQUITTO = "mosquitto is not installed here: the configuration was NOT checked"


def check_folder(program: str | None, folder: Path, plan: BrokerPlan) -> list[Check]:
    """Start the broker for a moment and try the rules.

    Parameters
    ----------
    program
        The mosquitto to try it with; None when there is none.
    folder
        What `BrokerFolder` wrote for the plan.
    plan
        The plan.

    Returns
    -------
    list of Check
        One for each thing tried; empty when nothing could be, which the caller has to say.
    """
    if program is None or (plan.proof == "certificates" and not (folder / AUTHORITY_KEY_FILE).exists()):
        return []
    checks: list[Check] = []
    try:
        with TrialBroker(program, folder, plan) as trial:
            complaints = trial.complaints()
            said = "; ".join(complaints) or program
            checks.append(Check("mosquitto takes it without a warning", not complaints, said))
            checks.extend(_try_rules(trial))
    except BrokerError as error:
        checks.append(Check("all rules could be tried", False, str(error)))
    return checks


class _Attempt(NamedTuple):
    """A message that the receiver may hear or not, and one that it certainly may, on a topic of `fence`."""

    what: str
    sender: str
    topic: str
    receiver: str
    allowed: bool
    fence: tuple[str, str]


def _try_rules(trial: TrialBroker) -> Iterator[Check]:
    plan = trial.plan
    anonymous = plan.proof == "nothing"
    device, gateway, operator = plan.devices[0], plan.gateways[0], plan.operators[0]
    site, name = split_device(device)
    own, other = Topics(site, name), Topics(site, f"{MADE_UP}-other")
    everything = f"{PREFIX}/#"
    requests = shared_offload_filter(MADE_UP)
    with ExitStack() as stack:

        def connect(user: str, topic_filter: str) -> _Client:
            return stack.enter_context(_Client(trial, "" if anonymous else user, topic_filter)).come()

        if not anonymous:
            stranger = stack.enter_context(_Client(trial, ""))
            proof = "a certificate" if plan.proof == "certificates" else "a password"
            yield Check(f"a client without {proof} is refused", stranger.is_refused(), stranger.words.text)
        clients = {
            device: connect(device, everything),
            gateway: connect(gateway, requests),
            operator: connect(operator, everything),
        }
        request, fence_of_gateway = own.offload(MADE_UP, 1), (device, own.offload(MADE_UP, 2))
        attempts = [_Attempt("a device's request reaches a gateway", device, request, gateway, True, fence_of_gateway)]
        if not anonymous:
            clients[MADE_UP] = connect(MADE_UP, everything)
            attempts += _attempts(device, gateway, operator, own, other)
        for attempt in attempts:
            yield _try(clients, attempt)
        yield from _try_sizes(trial, clients[device], clients[gateway], own)
        if not anonymous:
            yield from _try_wills(trial, clients[device], clients[operator], own, other)


def _attempts(device: str, gateway: str, operator: str, own: Topics, other: Topics) -> list[_Attempt]:
    to_gateway, to_device, to_operator = (
        (device, own.offload(MADE_UP, 2)),
        (gateway, own.result),
        (device, own.state),
    )
    announcement = site_model_topic(own.site)
    return [
        _Attempt("a result reaches its device", gateway, own.result, device, True, to_device),
        _Attempt("a device's state reaches an operator", device, own.state, operator, True, to_operator),
        _Attempt("a command reaches its device", operator, own.command, device, True, to_device),
        _Attempt("a model's announcement reaches a device", operator, announcement, device, True, to_device),
        _Attempt("a part of a model reaches its device", operator, own.model_part, device, True, to_device),
        _Attempt("a device hears its own ping", device, own.ping, device, True, to_device),
        _Attempt("a device cannot ask as another", device, other.offload(MADE_UP, 1), gateway, False, to_gateway),
        _Attempt("a device cannot say another's state", device, other.state, operator, False, to_operator),
        _Attempt("a device cannot read another's result", gateway, other.result, device, False, to_device),
        _Attempt("a device cannot read another's command", operator, other.command, device, False, to_device),
        _Attempt("a device cannot command itself", device, own.command, device, False, to_device),
        _Attempt("a device cannot announce a model", device, announcement, device, False, to_device),
        _Attempt("a device cannot answer itself", device, own.result, device, False, to_device),
        _Attempt("a gateway cannot command a device", gateway, own.command, device, False, to_device),
        _Attempt("a gateway cannot ask as a device", gateway, own.offload(MADE_UP, 1), gateway, False, to_gateway),
        _Attempt("an operator cannot answer a device", operator, own.result, device, False, to_device),
        _Attempt("who is not in the rules cannot ask", MADE_UP, own.offload(MADE_UP, 1), gateway, False, to_gateway),
        _Attempt("who is not in the rules cannot answer", MADE_UP, own.result, device, False, to_device),
    ]


def _try(clients: dict[str, _Client], attempt: _Attempt) -> Check:
    receiver = clients[attempt.receiver]
    nonce = clients[attempt.sender].say(attempt.topic)
    if attempt.allowed:
        return Check(attempt.what, receiver.hears(attempt.topic, nonce), attempt.topic)
    sender, topic = attempt.fence
    if not receiver.hears(topic, clients[sender].say(topic)):
        return Check(attempt.what, False, f"nothing was heard on {topic}, where something should be")
    return Check(attempt.what, not receiver.has_heard(attempt.topic, nonce), attempt.topic)


def _try_sizes(trial: TrialBroker, device: _Client, gateway: _Client, own: Topics) -> Iterator[Check]:
    topic, largest = own.offload(MADE_UP, 1), trial.plan.payload_bytes
    yield Check("the largest payload arrives", gateway.hears(topic, device.say(topic, largest)), f"{largest} bytes")
    thrown_out = _is_thrown_out(trial, device.user, topic)
    after = gateway.hears(topic, device.say(topic))
    unheard = not gateway.has_heard(topic, bytes(NONCE_BYTES))
    yield Check("who sends more is disconnected", thrown_out and after and unheard, topic)


def _try_wills(trial: TrialBroker, device: _Client, operator: _Client, own: Topics, other: Topics) -> Iterator[Check]:
    """Let clients with a last will be thrown out, which is when the broker speaks it."""
    last = secrets.token_bytes(NONCE_BYTES)
    _is_thrown_out(trial, device.user, own.offload(MADE_UP, 1), Will(own.state, last))
    yield Check("a device's last will is spoken", operator.hears(own.state, last), own.state)
    _is_thrown_out(trial, device.user, own.offload(MADE_UP, 1), Will(other.state, last))
    after = operator.hears(own.state, device.say(own.state))
    unheard = not operator.has_heard(other.state, last)
    yield Check("a last will in another's name is not spoken", after and unheard, other.state)


def _is_thrown_out(trial: TrialBroker, user: str, topic: str, will: Will | None = None) -> bool:
    """Whether a client that sends too much is disconnected.

    It speaks 3.1.1, because a broker tells a client of MQTT 5 its limit, and that one does not try.
    """
    with _Client(trial, user, will=will, protocol="3.1.1") as client:
        client.come()
        client.session.publish(topic, bytes(packet_bytes(trial.plan)))
        return _wait(lambda: client.session.counters["disconnects"] > 0)


class _Client:
    """A client of the trial that hears whatever the broker lets it hear; a context manager."""

    def __init__(
        self,
        trial: TrialBroker,
        user: str,
        topic_filter: str = "",
        *,
        will: Will | None = None,
        protocol: Literal["5", "3.1.1"] = "5",
    ) -> None:
        self.user = user
        self._heard: set[tuple[str, bytes]] = set()
        self._filters = bool(topic_filter)
        self.words = LastWords()
        name = f"{MADE_UP}-{secrets.token_hex(8)}"
        settings = trial.settings(user, protocol)
        self.session = MqttSession(settings, name, will=will, on_message=self._hear, logger=self.words.logger)
        if topic_filter:
            self.session.subscribe(topic_filter)

    def __enter__(self) -> Self:
        self.session.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.stop()

    def come(self) -> Self:
        """Wait for connection and subscription; `BrokerError` when they do not come about."""
        if not _wait(lambda: self.session.counters["subscribed"] >= self._filters and self.session.connected):
            raise BrokerError(f"a client of the trial could not connect: {self.words.text or 'no answer'}")
        return self

    def is_refused(self) -> bool:
        """Whether the broker does not let this client in."""
        _wait(lambda: self.session.connected or self.words.said.is_set())
        return self.words.said.is_set() and not self.session.counters["connects"]

    def say(self, topic: str, size: int = NONCE_BYTES) -> bytes:
        """Publish something that nobody has said before, and wait until the broker has dealt with it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        if not self.session.publish(topic, nonce.ljust(size, b"\0")) or not self.session.flush(PATIENCE_S):
            raise BrokerError(f"a publish on {topic!r} was not acknowledged: {self.words.text or 'no answer'}")
        return nonce

    def hears(self, topic: str, nonce: bytes) -> bool:
        """Wait for a message; False when it does not come."""
        return _wait(lambda: self.has_heard(topic, nonce))

    def has_heard(self, topic: str, nonce: bytes) -> bool:
        """Whether a message has come."""
        return (topic, nonce) in self._heard

    def _hear(self, incoming: Incoming) -> None:
        self._heard.add((incoming.topic, incoming.payload[:NONCE_BYTES]))


def _wait(condition: Callable[[], bool]) -> bool:
    """Wait for something that nobody announces; False when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
