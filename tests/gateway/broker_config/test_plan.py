"""Names, rules and limits: what the files say before any broker reads them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.broker_config.configuration import configuration_text
from gateway.broker_config.limits import limits
from gateway.broker_config.plan import BrokerPlan, read_plan
from gateway.broker_config.rules import device_rules, gateway_rules, operator_rules, rules_text
from specnet.errors import ConfigurationError
from specnet.wire import Topics, model_request_filter, model_state_filter, parse_offload_topic

GOOD = {
    "devices": ("lab/node-1", "plant/node-1"),
    "gateways": ("gateway-1",),
    "operators": ("anna",),
    "proof": "certificates",
    "encrypted": True,
    "server_names": ("gateway.local",),
    "version": "2.0",
    "folder": "/etc/broker",
}


def plan(**changes: object) -> BrokerPlan:
    return BrokerPlan(**{**GOOD, **changes})


def options(text: str) -> dict[str, str]:
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in lines}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"devices": ("node-1",)}, "a device is SITE/NAME, as in lab/node-1; got 'node-1'"),
        ({"devices": ("lab/a/b",)}, "device is 1 to 64 of letters"),
        ({"devices": ("lab/..",)}, "device '..' cannot be the name of a folder"),
        ({"devices": ("lab/+",)}, "device is 1 to 64 of letters"),
        ({"devices": ("l b/a",)}, "site is 1 to 64"),
        ({"gateways": ("a\nuser b",)}, "gateway is 1 to 64"),
        ({"operators": ("gateway-1",)}, "'gateway-1' is named twice"),
        ({"server_names": ("a b",)}, "a server name is a host name or an address, got 'a b'"),
        ({"server_names": ("-x.local",)}, "got '-x.local'"),
        ({"encrypted": False}, "by certificates over TLS only"),
        ({"proof": "nothing", "encrypted": False}, "listens on 127.0.0.1 only"),
        ({"folder": "/a\nallow_anonymous true"}, "folder is a whole path"),
        ({"state": "data"}, "state is a whole path, from / on, of printable characters, got 'data'"),
        ({"host": "0.0.0.0 x"}, "got '0.0.0.0 x'"),
        ({"gateways": ("g" * 65,)}, "gateway is 1 to 64"),
        ({"devices": (f"{'s' * 32}/{'d' * 32}",)}, "a certificate's common name has at most 64"),
        ({"results_topic": "specnet/v1/lab/x/cmd"}, "outside of specnet/v1/"),
        ({"results_topic": "a\ntopic #"}, "results_topic"),
        ({"port": 0}, "port is from 1 to 65535, got 0"),
        ({"payload_bytes": 10}, "payload_bytes is from 256"),
        ({"request_bytes": 300_000}, "request_bytes is from 1 to 262144"),
        ({"window": 0}, "window is from 1 to 1000"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        plan(**changes)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan()))
    assert read_plan(path) == plan()
    for content in (b"", b"{}", b'{"format": "other"}', b"\xff", path.read_bytes().replace(b"lab/", b"lab")):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="no plan of a broker"):
            read_plan(path)


def test_every_topic_of_a_device_has_its_rule_and_no_other_topic_has() -> None:
    topics = Topics("lab", "node-1")
    rules = {(rule.access, rule.topic_filter) for rule in device_rules("lab/node-1")}
    told = {("read", topic) for topic in (topics.result, topics.command, topics.model, topics.model_part)}
    said = (topics.state, topics.birth, topics.answer, topics.unanswered, topics.model_state, topics.model_request)
    assert rules == {
        *told,
        *(("write", topic) for topic in said),
        ("read", topics.site_model),
        ("readwrite", topics.ping),
        ("write", "specnet/v1/lab/node-1/offload/+/+"),
    }
    # whoever adds a topic to the protocol has to decide who may use it
    named = {name for name in vars(Topics) if isinstance(getattr(Topics, name), property)}
    assert named == {
        "base", "state", "birth", "result", "answer", "unanswered", "command", "ping", "model", "site_model",
        "model_state", "model_request", "model_part",
    }  # fmt: skip


def test_gateways_and_operators_are_at_home_at_the_sites_of_the_plan_only() -> None:
    both = plan(sites=("later",))
    for rules in (gateway_rules(both), operator_rules(both)):
        filters = [rule.topic_filter for rule in rules if rule.topic_filter.startswith("specnet/v1/")]
        assert {topic.split("/")[2] for topic in filters} == {"lab", "later", "plant"}
    requests = next(rule for rule in gateway_rules(both) if rule.access == "read")
    assert parse_offload_topic(requests.topic_filter.replace("+/+", "b/1").replace("+", "n")).site == "lab"
    reads = {rule.topic_filter for rule in operator_rules(both) if rule.access == "read"}
    assert {model_request_filter("lab"), model_state_filter("plant")} <= reads
    assert not any("offload" in rule.topic_filter or "result" in rule.topic_filter.split("/")[4:]
                   for rule in operator_rules(both))  # fmt: skip


def test_no_rule_stands_outside_of_the_block_of_a_user() -> None:
    lines = [line for line in rules_text(plan()).splitlines() if line and not line.startswith("#")]
    assert lines[0] == "user gateway-1"
    assert {line for line in lines if line.startswith("user ")} == {
        "user gateway-1", "user anna", "user lab/node-1", "user plant/node-1",
    }  # fmt: skip
    assert all(line.startswith(("user ", "topic read ", "topic write ", "topic readwrite ")) for line in lines)


def test_limits_follow_from_the_numbers() -> None:
    small = {option.name: option.value for option in limits(plan())}
    assert small["max_queued_messages"] == 10_000
    large = {option.name: option.value for option in limits(plan(expected_devices=10_000, window=16))}
    assert large["max_queued_messages"] == 2 * 10_000 * 20
    assert large["max_queued_bytes"] == 2 * 10_000 * 20 * 4096
    assert large["max_packet_size"] == 262_144 + 4096
    assert all(option.why for option in limits(plan()))


def test_options_differ_between_the_versions() -> None:
    old, new = options(configuration_text(plan())), options(configuration_text(plan(version="2.1", plugins="/lib")))
    assert old["acl_file"] == "/etc/broker/acl"
    assert (new["global_plugin"], new["plugin_opt_acl_file"]) == ("/lib/mosquitto_acl_file.so", "/etc/broker/acl")
    assert "acl_file" not in new
    assert "per_listener_settings" not in {*old, *new}
    assert old["set_tcp_nodelay"] == new["set_tcp_nodelay"] == "true"
    without = configuration_text(plan(version="2.1", proof="passwords"))
    assert options(without)["password_file"] == "/etc/broker/passwords"
    assert "goes in 3.0" in without


def test_anonymous_is_off_except_on_one_machine() -> None:
    assert options(configuration_text(plan()))["allow_anonymous"] == "false"
    assert options(configuration_text(plan()))["require_certificate"] == "true"
    plain = configuration_text(plan(proof="passwords", encrypted=False, port=1883))
    assert options(plain)["allow_anonymous"] == "false"
    assert "NOT ENCRYPTED" in plain
    open_one = plan(proof="nothing", encrypted=False, host="127.0.0.1", port=1883)
    assert options(configuration_text(open_one))["listener"] == "1883 127.0.0.1"
    assert options(configuration_text(open_one))["allow_anonymous"] == "true"


def test_every_line_has_its_reason() -> None:
    lines = configuration_text(plan()).splitlines()
    paragraphs = "\n".join(lines).split("\n\n")
    assert all(paragraph.startswith("# ") for paragraph in paragraphs)
    assert all(len(line) <= 120 for line in lines)
