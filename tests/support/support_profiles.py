"""Good profiles of every kind, to be changed by tests."""

from __future__ import annotations

from specnet.profiles import LINK_PRESETS, DeviceProfile, GatewayProfile, LinkProfile, Load, Quantiles

CREATED = "2025-03-01T10:00:00+00:00"
BUNDLE = "0123456789abcdef"
TIMES = Quantiles((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0))


def device_profile() -> DeviceProfile:
    """A device with three segments and a stated power."""
    return DeviceProfile(
        name="lab/node-1",
        created=CREATED,
        software="specnet 0.1.0",
        bundle=BUNDLE,
        threads=1,
        n_spectra=500,
        preprocessing_us=TIMES,
        segments_us={"0": TIMES, "1": TIMES, "2": TIMES},
        policy_us=TIMES,
        codecs_us={"0:float16": TIMES, "1:int8": TIMES},
        active_watts=3.0,
        idle_watts=2.0,
        power="stated",
        memory_bytes=80 << 20,
    )


def link_profile() -> LinkProfile:
    """A link with a LoRa modulation."""
    return LINK_PRESETS["lorawan-dr3"]


def gateway_profile() -> GatewayProfile:
    """A gateway with two segments, one batch size and two loads."""
    load = Load(requests_s=100.0, utilisation=0.25, queue_ms=TIMES, compute_ms=TIMES, mean_batch=1.5)
    heavy = Load(requests_s=300.0, utilisation=0.75, queue_ms=TIMES, compute_ms=TIMES, mean_batch=4.0)
    return GatewayProfile(
        name="hall-2",
        created=CREATED,
        bundle=BUNDLE,
        engine="onnxruntime",
        max_batch=64,
        segments_us={"1": TIMES, "2": TIMES},
        handling_us=TIMES,
        batch_us={"8": {"1": TIMES, "2": TIMES}},
        loads=(load, heavy),
    )
