from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

from support_device import ROOT

import device

HEAVY = {
    "torch", "scipy", "sklearn", "h5py", "onnx", "matplotlib", "rich", "safetensors", "pydantic", "gateway",
    "specnet.nn", "specnet.training", "specnet.datasets", "specnet.commands",
}  # fmt: skip


def test_no_module_of_the_device_loads_anything_heavy() -> None:
    modules = [m.name for m in pkgutil.walk_packages(device.__path__, "device.") if not m.name.endswith("__main__")]
    assert len(modules) > 15
    load = "import importlib, json, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    code = f"{load}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(json.loads(done.stdout))


def test_paho_is_loaded_when_there_is_a_broker_to_connect_to() -> None:
    code = "import json, sys; import device.cli; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert "specnet.mqtt.session" in found
    assert not [name for name in found if name.startswith("paho.mqtt.client")]
