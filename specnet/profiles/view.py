"""Profiles as a person wants to see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from specnet.profiles.device import DeviceProfile
from specnet.profiles.gateway import GatewayProfile
from specnet.profiles.link import LinkProfile
from specnet.profiles.quantiles import Quantiles

SHOWN_PAYLOADS = (16, 51, 222, 1000, 4000)


def describe(profile: DeviceProfile | LinkProfile | GatewayProfile) -> str:
    """Text of several lines."""
    match profile:
        case DeviceProfile():
            return _device(profile)
        case LinkProfile():
            return _link(profile)
        case GatewayProfile():
            return _gateway(profile)
        case _:
            assert_never(profile)


def _device(profile: DeviceProfile) -> str:
    power = f"active {profile.active_watts:g} W, idle {profile.idle_watts:g} W ({profile.power})"
    facts = {
        "bundle": profile.bundle,
        "software": profile.software,
        "calls": f"batch 1, threads {profile.threads}, {profile.n_spectra} spectra",
        "memory": f"{profile.memory_bytes / 2**20:.1f} MiB resident",
        "power": "unknown" if profile.power == "unknown" else power,
    }
    codecs = [(key.partition(":"), value) for key, value in profile.codecs_us.items()]
    steps = {
        "preprocessing": profile.preprocessing_us,
        **{f"segment {key}": value for key, value in profile.segments_us.items()},
        "exit policy, one decision": profile.policy_us,
        **{f"codec {codec} at split {split}": q for (split, _, codec), q in codecs},
        **({} if profile.outbox_us is None else {"request to disk": profile.outbox_us}),
    }
    rows = [
        [name, *_microseconds(q), f"{profile.millijoules(q.mean):.3f}" if profile.active_watts else "-"]
        for name, q in steps.items()
    ]
    return _text(profile, facts, ("us", "p5", "p50", "p95", "mean", "mJ"), rows)


def _link(profile: LinkProfile) -> str:
    q = profile.round_trip_ms
    facts = {
        "source": profile.source,
        "round trip": f"p5 {q.values[1]:.2f}, p50 {q.p50:.2f}, p95 {q.p95:.2f}, mean {q.mean:.2f} ms",
        "rates": f"{_rate(profile.uplink_bits_s)} up, {_rate(profile.downlink_bits_s)} down",
        "loss": f"{profile.loss:.2%} of the messages, sent again after {profile.retry_s:g} s",
        "overhead": f"{profile.overhead_bytes} bytes a message",
        "limits": f"payload {profile.max_payload_bytes or 'without limit'}, duty cycle {profile.duty_cycle:.0%}",
        "sending": f"{profile.transmit_watts:g} W" if profile.transmit_watts else "power not known",
    }
    if profile.lora is not None:
        lora = profile.lora
        facts["LoRa"] = f"SF{lora.spreading_factor}, {lora.bandwidth_hz // 1000} kHz, 4/{lora.coding_rate}"
    rows = [
        [f"{size} bytes", str(profile.messages(size)), f"{1e3 * profile.air_time_s(size):.3f}"]
        for size in SHOWN_PAYLOADS
    ]
    return _text(profile, facts, ("payload", "messages", "ms on the link"), rows)


def _gateway(profile: GatewayProfile) -> str:
    facts = {"bundle": profile.bundle, "engine": f"{profile.engine}, batches of at most {profile.max_batch}"}
    rows = [[f"segment {key}", "1", *_microseconds(q)] for key, q in profile.segments_us.items()]
    if profile.handling_us is not None:
        rows.append(["the rest", "1", *_microseconds(profile.handling_us)])
    for size, times in profile.batch_us.items():
        rows += [[f"segment {key}", size, *_microseconds(q)] for key, q in times.items()]
    text = _text(profile, facts, ("us", "batch", "p5", "p50", "p95", "mean"), rows)
    if not profile.loads:
        return text
    loads = [
        [
            f"{load.requests_s:.0f}/s",
            f"{load.utilisation:.0%}",
            f"{load.mean_batch:.1f}",
            *(f"{value:.2f}" for q in (load.queue_ms, load.compute_ms) for value in (q.p50, q.p95)),
        ]
        for load in profile.loads
    ]
    columns = ("requests", "load", "batch", "queue p50", "p95 ms", "compute p50", "p95 ms")
    return "\n".join([text, "", *_table(columns, loads)])


def _text(
    profile: DeviceProfile | LinkProfile | GatewayProfile,
    facts: dict[str, str],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> str:
    width = max(map(len, facts))
    lines = [f"  {name:<{width}}  {value}" for name, value in facts.items()]
    head = f"{profile.kind} {profile.name}, {profile.created}"
    return "\n".join([head, *lines, "", *_table(columns, rows)])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in [columns, *rows]
    ]


def _microseconds(q: Quantiles) -> list[str]:
    return [f"{value:.1f}" for value in (q.values[1], q.p50, q.p95, q.mean)]


def _rate(bits_s: float) -> str:
    return f"{bits_s / 1e6:.4g} Mbit/s" if bits_s >= 1e6 else f"{bits_s / 1e3:.4g} kbit/s"
