"""Who may publish and read what, as mosquitto's access control list.

Each device has a block of its own with the topics of `specnet.wire.Topics` and nothing else; what is not listed is
denied. mosquitto also knows patterns, which would be one block for all devices, but a pattern holds for *every* user,
and ``%u`` must be a whole level of a topic, so that site and device together cannot be one user. With a block for each
name a device is shut out by deleting its block and sending the broker SIGHUP, whatever certificate it holds.

mosquitto (2.0 and 2.1) grants every subscription and applies the rules when it delivers: a client that subscribes to
what it may not read hears nothing, and is not told. A publish that is denied is acknowledged with reason 135 to a
client of MQTT 5 and in silence to one of 3.1.1.

The rules are about users. A client *identifier* is free, so a client that knows that of another one can take its place
at the broker and have it thrown out (it comes back, and nobody reads or writes anything in its name).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from gateway.broker_config.plan import BrokerPlan, split_device
from specnet.wire import Topics, model_request_filter, model_state_filter, shared_offload_filter, site_model_topic
from specnet.wire.topics import PREFIX

Access = Literal["read", "write", "readwrite"]
_DEVICE_LEVEL = 3

HEAD = """\
# Who may publish and read what. Written by `specnet-gateway broker-config`; what is not listed is denied.
# mosquitto reads this file again on SIGHUP.
#
# A device (user SITE/NAME) publishes requests, its state, answers and questions for parts of a model, and reads its own
# results, commands and parts, and the announcements of models to itself and to its site. It hears its own pings.
# A gateway reads requests, through a shared subscription as any other, and publishes results.
# An operator commands devices and gives out models, and reads what devices say of themselves.
"""


class Rule(NamedTuple):
    """What is allowed on the topics of a filter."""

    access: Access
    topic_filter: str


def device_rules(device: str) -> list[Rule]:
    """Rules of one device, ``SITE/NAME``."""
    topics = Topics(*split_device(device))
    return [
        Rule("write", f"{topics.base}/offload/+/+"),
        Rule("read", topics.result),
        Rule("write", topics.state),
        Rule("write", topics.birth),
        Rule("write", topics.answer),
        Rule("write", topics.unanswered),
        Rule("read", topics.command),
        Rule("readwrite", topics.ping),
        Rule("read", topics.model),
        Rule("read", topics.site_model),
        Rule("write", topics.model_state),
        Rule("write", topics.model_request),
        Rule("read", topics.model_part),
    ]


def gateway_rules(plan: BrokerPlan) -> list[Rule]:
    """Rules of every gateway: the devices of all sites."""
    rules = []
    for site in plan.all_sites:
        requests = shared_offload_filter("any", site).split("/", 2)[2]
        rules += [Rule("read", requests), Rule("write", _of_every_device(Topics(site, "any").result))]
    return rules + ([Rule("write", plan.results_topic)] if plan.results_topic else [])


def operator_rules(plan: BrokerPlan) -> list[Rule]:
    """Rules of every operator: the devices of all sites, and the broker's own figures."""
    rules = [Rule("read", "$SYS/broker/#")]
    for site in plan.all_sites:
        one = Topics(site, "any")
        rules += [
            Rule("write", _of_every_device(one.command)),
            Rule("readwrite", _of_every_device(one.model)),
            Rule("readwrite", site_model_topic(site)),
            Rule("read", model_request_filter(site)),
            Rule("write", _of_every_device(one.model_part)),
            Rule("read", model_state_filter(site)),
            *(Rule("read", _of_every_device(said)) for said in (one.state, one.birth, one.answer, one.unanswered)),
        ]
    return rules + ([Rule("read", plan.results_topic)] if plan.results_topic else [])


def rules_text(plan: BrokerPlan) -> str:
    """Content of the access control list."""
    return HEAD + "\n" + "\n".join(_lines(plan)) + "\n"


def _lines(plan: BrokerPlan) -> Iterator[str]:
    if plan.proof == "nothing":
        yield "# Everybody on this machine is anybody: a laboratory on one machine, no more."
        yield from _rule_lines([Rule("readwrite", f"{PREFIX}/#"), Rule("read", "$SYS/broker/#")])
        yield from _rule_lines([Rule("readwrite", plan.results_topic)] if plan.results_topic else [])
        return
    for names, rules in ((plan.gateways, gateway_rules(plan)), (plan.operators, operator_rules(plan))):
        for name in names:
            yield from _block(name, rules)
    for device in plan.devices:
        yield from _block(device, device_rules(device))


def _block(user: str, rules: list[Rule]) -> Iterator[str]:
    yield f"user {user}"
    yield from _rule_lines(rules)
    yield ""


def _rule_lines(rules: list[Rule]) -> Iterator[str]:
    for rule in rules:
        yield f"topic {rule.access} {rule.topic_filter}"


def _of_every_device(topic: str) -> str:
    """Turn a topic of one device into the filter for all devices of its site."""
    levels = topic.split("/")
    return "/".join([*levels[:_DEVICE_LEVEL], "+", *levels[_DEVICE_LEVEL + 1 :]])
