"""What ``swift doctor --kernels`` finds in the block and in the attention: nothing here, and a planted mistake."""

from __future__ import annotations

import pytest
import torch

from swift.kernels import block as block_module
from swift.kernels import check_block
from swift.kernels.checks import check_attention, check_fused_block

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_both_agree_with_their_formulas(dtype):
    assert check_attention(DEVICE, dtype) is None
    assert check_fused_block(DEVICE, dtype) is None


def test_a_wrong_gradient_is_named(monkeypatch):
    right = block_module.rms_norm_backward

    def wrong(*args, **options):
        dx, dweight = right(*args, **options)
        return dx * 1.05, dweight
    monkeypatch.setattr(block_module, 'rms_norm_backward', wrong)
    assert check_fused_block(DEVICE, torch.float32).startswith('the gradient of x is ')


def test_documents_that_see_each_other_are_found(monkeypatch):
    right = check_block.attend
    monkeypatch.setattr(check_block, 'attend', lambda q, k, v, documents: right(
        q, k, v, type(documents).of([documents.tokens]).to(q.device)))
    assert 'the value is ' in check_attention(DEVICE, torch.float32)
