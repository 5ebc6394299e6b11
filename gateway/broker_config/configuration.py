"""``mosquitto.conf`` out of a plan, each line with its reason.

Between 2.0 and 2.1 these differ: 2.1 deprecates ``acl_file`` and ``password_file`` in favour of plugins with the same
code (they go in 3.0), and has a limit of 2,000,000 bytes for packets where 2.0 has none; here it is always given.
``per_listener_settings``, deprecated too, is not needed for one listener.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from gateway.broker_config.limits import Option, limits, listener_limits
from gateway.broker_config.plan import LOOPBACK, BrokerPlan

CONFIGURATION_FILE, RULES_FILE, PASSWORDS_FILE = "mosquitto.conf", "acl", "passwords"
AUTHORITY_FILE, SERVER_CERTIFICATE_FILE, SERVER_KEY_FILE = "tls/ca.pem", "tls/server.pem", "tls/server.key"
ACL_PLUGIN, PASSWORD_PLUGIN = "mosquitto_acl_file.so", "mosquitto_password_file.so"
COMMENT_WIDTH = 118

_PROOFS = {
    "certificates": "certificates: a client is who its certificate says (common name)",
    "passwords": "user names and passwords",
    "nothing": f"nothing, on {LOOPBACK} only: a laboratory on one machine",
}


def configuration_text(plan: BrokerPlan, extra: Iterable[Option] = ()) -> str:
    """Content of ``mosquitto.conf``; `extra` options come first."""
    version = "2.0" if plan.version == "2.0" else "2.1 or newer"
    head = [
        f"# For mosquitto {version}. Written by `specnet-gateway broker-config`; run it again to add clients.",
        f"# Clients prove who they are by {_PROOFS[plan.proof]}.",
    ]
    if plan.proof == "passwords" and not plan.encrypted:
        head.append("# NOT ENCRYPTED: whoever can read the network reads the passwords. Use --tls beyond one machine.")
    sections = [extra, _access(plan), _behaviour(plan), limits(plan), _listener(plan)]
    return "\n".join([*head, *(line for section in sections for option in section for line in _lines(option)), ""])


def _access(plan: BrokerPlan) -> Iterator[Option]:
    anonymous = plan.proof == "nothing"
    yield Option(
        "allow_anonymous", _said(anonymous), "Everybody on this machine." if anonymous else "Nobody without a name."
    )
    yield Option("allow_zero_length_clientid", "false", "A client has an identifier of its own, which the log shows.")
    rules = "Who may publish and read what; what is not listed there is denied."
    passwords = "Hashes of passwords; read again on SIGHUP."
    if plan.plugins:
        yield Option("global_plugin", f"{plan.plugins}/{ACL_PLUGIN}", rules)
        yield Option("plugin_opt_acl_file", f"{plan.folder}/{RULES_FILE}", "")
        if plan.proof == "passwords":
            yield Option("global_plugin", f"{plan.plugins}/{PASSWORD_PLUGIN}", passwords)
            yield Option("plugin_opt_password_file", f"{plan.folder}/{PASSWORDS_FILE}", "")
        return
    later = " mosquitto 2.1 has plugins for this; the option goes in 3.0." if plan.version == "2.1" else ""
    yield Option("acl_file", f"{plan.folder}/{RULES_FILE}", rules + later)
    if plan.proof == "passwords":
        yield Option("password_file", f"{plan.folder}/{PASSWORDS_FILE}", passwords + later)


def _behaviour(plan: BrokerPlan) -> Iterator[Option]:
    yield Option(
        "set_tcp_nodelay",
        "true",
        "Without it every round trip waits 40 ms for a delayed acknowledgement.",
    )
    yield Option(
        "persistence",
        "true",
        "Retained announcements of models and states of devices outlive a restart. Requests are not kept: devices keep "
        "them.",
    )
    yield Option("persistence_location", f"{plan.state.rstrip('/')}/", "Must be writable for the broker's user.")
    yield Option("autosave_interval", 300, "Seconds; what changed since then is said again, or announced again.")
    yield Option("log_dest", "stderr", "The service manager keeps it.")
    for kind in ("error", "warning", "notice"):
        yield Option("log_type", kind, "Who came, who went, and what was wrong." if kind == "error" else "")


def _listener(plan: BrokerPlan) -> Iterator[Option]:
    where = f"on {plan.host}" if plan.host else "on every interface"
    yield Option("listener", f"{plan.port} {plan.host}".strip(), f"The only one, {where}. What follows belongs to it.")
    yield from listener_limits(plan)
    if not plan.encrypted:
        return
    yield Option("certfile", f"{plan.folder}/{SERVER_CERTIFICATE_FILE}", "Who the broker is.")
    yield Option("keyfile", f"{plan.folder}/{SERVER_KEY_FILE}", "")
    yield Option("tls_version", "tlsv1.2", "And newer.")
    if plan.proof == "certificates":
        yield Option("cafile", f"{plan.folder}/{AUTHORITY_FILE}", "Who says who clients are.")
        yield Option("require_certificate", "true", "Nobody gets further than the handshake without a certificate,")
        yield Option("use_identity_as_username", "true", "and its common name is the user of the rules.")


def _lines(option: Option) -> Iterator[str]:
    if option.why:
        yield ""
        yield from textwrap.wrap(option.why, COMMENT_WIDTH, initial_indent="# ", subsequent_indent="# ")
    yield f"{option.name} {option.value}"


def _said(value: bool) -> str:
    return str(value).lower()
