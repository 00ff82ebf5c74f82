from __future__ import annotations

import logging

import pytest

from swift.utils.errors import SwiftError
from swift.utils.versions import SUPPORTED, check, parse_version, requirement, state

TESTED = {entry.package: entry.tested for entry in SUPPORTED}
FLOOR = {entry.package: entry.floor for entry in SUPPORTED}


@pytest.mark.parametrize('text, numbers', [
    ('2.13.0+cpu', (2, 13)), ('2.10', (2, 10)), ('5.17.0.dev0', (5, 17)), ('1.0rc1', (1,)), ('nightly', ())])
def test_release_numbers(text, numbers):
    assert parse_version(text) == numbers


def test_order_is_by_number():
    assert parse_version('2.9.1') < parse_version('2.10') < parse_version('2.10.1') < parse_version('10')


@pytest.mark.parametrize('versions', [TESTED, FLOOR, TESTED | {'torch': '2.11.0+cu130', 'transformers': '5.17.0'}])
def test_supported_versions_pass_silently(versions, caplog):
    logging.getLogger('swift').addHandler(caplog.handler)
    check(versions.get)
    assert not caplog.records


def test_newer_than_tested_warns_and_goes_on(caplog):
    logging.getLogger('swift').addHandler(caplog.handler)
    check((TESTED | {'torch': '2.99'}).get)
    assert 'torch 2.99 is newer than the newest tested version' in caplog.text


@pytest.mark.parametrize('package, version, text', [
    ('torch', '2.9.1', 'torch>=2.10 is needed, and 2.9.1 is installed (too old)'),
    ('transformers', '6.0', 'transformers>=5.17,<6 is needed, and 6.0 is installed (too new)'),
    ('peft', None, 'peft>=0.21 is needed, and none is installed (missing)')])
def test_unsupported_versions_are_refused_with_the_remedy(package, version, text):
    with pytest.raises(SwiftError) as caught:
        check((TESTED | {package: version}).get)
    assert text in str(caught.value) and f"pip install '{package}>=" in str(caught.value)


def test_the_tested_version_is_supported():
    assert {state(entry, entry.tested) for entry in SUPPORTED} == {'ok'}
    assert requirement(SUPPORTED[0]) == 'torch>=2.10'
