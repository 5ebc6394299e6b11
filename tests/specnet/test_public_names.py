"""What ``import specnet`` promises, and what it costs."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import specnet
from specnet import errors

HEAVY = {"torch", "scipy", "sklearn", "h5py", "onnx", "onnxruntime", "matplotlib", "rich", "numpy"}


def test_every_public_name_is_there_and_documented() -> None:
    assert set(specnet.__all__) == set(dir(specnet))
    for name in specnet.__all__:
        value = getattr(specnet, name)
        if name != "__version__":
            assert inspect.getdoc(value), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'specnet' has no attribute 'classify_everything'"):
        specnet.classify_everything  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, json, specnet; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert set(loaded) & HEAVY == set()


def test_spectra_and_bundles_are_read_without_the_learning_libraries() -> None:
    code = (
        "import sys, json, specnet; specnet.SpectralAxis, specnet.load_bundle, specnet.Predictor, specnet.SpecnetError;"
        "import specnet.wire, specnet.codec, specnet.exits;"
        "print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert set(loaded) & (HEAVY - {"numpy", "onnxruntime"}) == set()


def test_every_error_has_the_common_base_and_stands_in_the_tree() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(classes) > 10
    for error in classes:
        assert issubclass(error, errors.SpecnetError)
        assert errors.__doc__ is not None
        assert error.__name__ in errors.__doc__
