from __future__ import annotations

import pytest

from swift.utils import extras
from swift.utils.errors import MissingExtraError, UsageError
from swift.utils.extras import EXTRAS, Package, available, installed_version, require


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(extras, 'installed_version', lambda package: None)
    with pytest.raises(MissingExtraError) as caught:
        require('vllm', needed_by='--infer_backend vllm')
    assert str(caught.value) == ("--infer_backend vllm needs the package 'vllm', which is not installed. "
                                 "Install it with: pip install 'ms-swift[vllm]'")
    assert isinstance(caught.value, UsageError) and isinstance(caught.value, ImportError)


def test_a_package_below_its_floor_is_refused(monkeypatch):
    monkeypatch.setattr(extras, 'installed_version', lambda package: '0.1')
    monkeypatch.setattr(extras, 'available', lambda module: True)
    with pytest.raises(MissingExtraError, match='needs deepspeed 0.18 or newer, and 0.1 is installed'):
        require('deepspeed', needed_by='--deepspeed')


def test_an_installed_package_passes(monkeypatch):
    monkeypatch.setattr(extras, 'installed_version', lambda package: '99')
    monkeypatch.setattr(extras, 'available', lambda module: True)
    require('deepspeed', needed_by='--deepspeed')


def test_detection():
    assert available('json') and not available('no_such_module_anywhere')
    assert installed_version(Package('no-such-package', 'json')) == '0'  # there, though nobody says which version
    assert installed_version(Package('no-such-package', 'no_such_module_anywhere')) is None


def test_names_are_told_once():
    names = [package.name for extra in EXTRAS.values() for package in extra.packages]
    assert len(names) == len(set(names))
