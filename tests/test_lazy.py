"""Packages give their names without loading what those need."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize("package", ["m", "m.journal", "sinks"])
def test_every_name_is_there_and_any_other_is_an_error_that_says_what_is(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in vars(module), "asked for once, it stays"
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=rf"module '{package}' has no attribute 'Nothing'; it has \w+"):
        _ = module.Nothing
