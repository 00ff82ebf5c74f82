"""Rotary embedding and QK-norm against the formulas in float64, transformers' functions, and Triton against plain."""

from __future__ import annotations

import pytest
import torch
from transformers.models.cohere import modeling_cohere
from transformers.models.glm import modeling_glm
from transformers.models.llama import modeling_llama
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from swift.kernels.rotary import check, rotate, rotate_backward

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
# of the largest value: the last bit of each dtype, as everything is computed in float32
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# tokens, query heads, key heads, size of a head, of it rotated
SIZES = [(1, 1, 1, 2, 2), (0, 2, 1, 8, 8), (7, 14, 2, 64, 64), (5, 3, 3, 80, 32), (3, 12, 2, 128, 128), (9, 2, 1, 7, 6)]
EPS = 1e-5


def near(ours, expected, tolerance, least=0.0):
    """To the largest value, or to ``least`` if that is more."""
    assert ours.shape == expected.shape
    if expected.numel():
        difference = (ours.double() - expected.double()).abs().max().item()
        assert difference <= tolerance * max(expected.double().abs().max().item(), least)


def problem(tokens, hq, hk, size, rotated, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    qkv, gradient = (torch.randn(tokens, (hq + 2 * hk) * size, generator=generator).to(DEVICE, dtype) for _ in range(2))
    angle = 3 * torch.randn(tokens, rotated // 2, generator=generator).repeat(1, 2)
    weights = [torch.randn(size, generator=generator).to(DEVICE, dtype) for _ in range(2)]
    # a table may be scaled (YaRN): the transpose is then not the inverse
    return qkv, gradient, (1.2 * angle.cos()).to(DEVICE, dtype), (1.2 * angle.sin()).to(DEVICE, dtype), weights


def parts(packed, hq, hk):
    return packed.unflatten(1, (hq + 2 * hk, -1)).split([hq, hk, hk], 1)


def formula(qkv, gradient, cos, sin, hq, hk, interleaved, weights=None, offset=0.0):
    """Pair by pair as complex numbers, in float64; gradients by autograd. Returns q|k|v and what of it are leaves'."""
    leaves = [tensor.detach().double().requires_grad_() for tensor in (qkv, *(weights or []))]
    q, k, v = parts(leaves[0], hq, hk)
    if weights:
        q, k = (x / (x.pow(2).mean(2, keepdim=True) + EPS).sqrt() * (offset + weight)
                for x, weight in zip((q, k), leaves[1:], strict=True))
    half = cos.shape[1] // 2
    turn = torch.complex(cos[:, :half].double(), sin[:, :half].double())[:, None]

    def turned(x):
        pairs = x[..., :2 * half]
        first, second = (pairs[..., ::2], pairs[..., 1::2]) if interleaved else pairs.chunk(2, -1)
        y = torch.complex(first, second) * turn
        y = torch.stack([y.real, y.imag], -1).flatten(-2) if interleaved else torch.cat([y.real, y.imag], -1)
        return torch.cat([y, x[..., 2 * half:]], -1)

    result = torch.cat([turned(q), turned(k), v], 1).flatten(1)
    return result.detach(), torch.autograd.grad(result, leaves, gradient.double())


@pytest.mark.parametrize('interleaved', [False, True])
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_rotation_is_that_of_the_formula(backend, size, dtype, interleaved):
    if backend == 'triton' and dtype == torch.float64:
        pytest.skip('kernels compute in float32')
    tokens, hq, hk, head_dim, _ = size
    qkv, gradient, cos, sin, _ = problem(*size, dtype)
    expected, (dqkv,) = formula(qkv, gradient, cos, sin, hq, hk, interleaved)
    given = {'interleaved': interleaved, 'backend': backend}
    ours = rotate_backward(*parts(gradient, hq, hk), cos, sin, **given)
    assert ours[1:] == (None, None) and ours[0].dtype == dtype
    near(ours[0], dqkv, TOLERANCE[dtype])
    apart = torch.empty(tokens, (hq + hk) * head_dim, dtype=dtype, device=DEVICE)
    before = qkv.clone()
    assert rotate(qkv, cos, sin, heads=(hq, hk), head_dim=head_dim, out=apart, **given)[0] is apart
    assert torch.equal(qkv, before)
    rotated, rstd = rotate(qkv, cos, sin, heads=(hq, hk), head_dim=head_dim, **given)
    assert rstd is None and rotated.data_ptr() == qkv.data_ptr() and torch.equal(rotated, apart)
    near(qkv, expected, TOLERANCE[dtype])


@pytest.mark.parametrize('offset', [0.0, 1.0])
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_with_norms_it_is_that_of_the_formula(backend, size, dtype, offset):
    if backend == 'triton' and dtype == torch.float64:
        pytest.skip('kernels compute in float32')
    tokens, hq, hk, head_dim, _ = size
    qkv, gradient, cos, sin, weights = problem(*size, dtype)
    interleaved = hq == hk
    expected, leaves = formula(qkv, gradient, cos, sin, hq, hk, interleaved, weights, offset)
    given = {'interleaved': interleaved, 'q_weight': weights[0], 'k_weight': weights[1], 'offset': offset,
             'backend': backend}
    before = qkv.clone()
    rotated, rstd = rotate(qkv, cos, sin, heads=(hq, hk), head_dim=head_dim, eps=EPS, **given)
    assert torch.equal(qkv, before)
    near(rotated, expected[:, :(hq + hk) * head_dim], TOLERANCE[dtype])
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    assert rstd.shape == (tokens, hq + hk) and rstd.dtype == precise
    ours = rotate_backward(*parts(gradient, hq, hk), cos, sin, qkv=qkv, rstd=rstd, weight_grad=True, **given)
    near(ours[0], leaves[0], TOLERANCE[dtype])
    for weight, exact in zip(ours[1:], leaves[1:], strict=True):
        assert weight.dtype == precise
        near(weight, exact, TOLERANCE[precise], least=1.0)
    frozen = rotate_backward(*parts(gradient, hq, hk), cos, sin, qkv=qkv, rstd=rstd, **given)
    assert frozen[1:] == (None, None) and torch.equal(frozen[0], ours[0])


@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_inverse_is_the_transpose(backend):
    qkv, gradient, cos, sin, _ = problem(5, 3, 2, 16, 8, torch.float32)
    expected, _, _ = rotate_backward(*parts(gradient, 3, 2), cos, sin, backend=backend)
    rotate(gradient, cos, sin, heads=(3, 2), head_dim=16, inverse=True, backend=backend)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize('module', [modeling_llama, modeling_glm, modeling_cohere],
                         ids=['llama', 'glm', 'cohere'])
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_it_is_the_rotation_of_transformers(backend, module):
    tokens, hq, hk, size = 11, 4, 2, 24
    rotated = 16 if module is modeling_glm else size
    qkv, _, cos, sin, _ = problem(tokens, hq, hk, size, rotated, torch.float32)
    paired = module is modeling_cohere
    if paired:
        cos, sin = (table[:, :rotated // 2].repeat_interleave(2, 1) for table in (cos, sin))
    q, k, v = (part.transpose(0, 1)[None] for part in parts(qkv, hq, hk))
    expected_q, expected_k = module.apply_rotary_pos_emb(q, k, cos[None], sin[None])
    expected = torch.cat([part[0].transpose(0, 1).flatten(1) for part in (expected_q, expected_k, v)], 1)
    rotate(qkv, cos, sin, heads=(hq, hk), head_dim=size, interleaved=module is not modeling_llama,
           paired_tables=paired, backend=backend)
    torch.testing.assert_close(qkv, expected)


def test_it_is_the_norm_and_rotation_of_qwen3():
    tokens, hq, hk, size = 11, 4, 2, 16
    qkv, _, cos, sin, weights = problem(tokens, hq, hk, size, size, torch.float32)
    norms = [Qwen3RMSNorm(size, eps=EPS).to(DEVICE) for _ in range(2)]
    for norm, weight in zip(norms, weights, strict=True):
        norm.weight.data.copy_(weight)
    q, k, _ = parts(qkv, hq, hk)
    q, k = (norm(part).transpose(0, 1)[None] for norm, part in zip(norms, (q, k), strict=True))
    expected = torch.cat([part[0].transpose(0, 1).flatten(1)
                          for part in modeling_llama.apply_rotary_pos_emb(q, k, cos[None], sin[None])], 1)
    ours, _ = rotate(qkv, cos, sin, heads=(hq, hk), head_dim=size, q_weight=weights[0], k_weight=weights[1], eps=EPS)
    torch.testing.assert_close(ours, expected.detach())


def wider(tensor):
    """The same numbers in a part of a wider buffer."""
    buffer = torch.full((tensor.shape[0], tensor.shape[1] + 5), float('nan'), dtype=tensor.dtype, device=tensor.device)
    part = buffer[:, 3:3 + tensor.shape[1]]
    part.copy_(tensor)
    return part


def untouched(part):
    return part._base[:, :3].isnan().all() and part._base[:, -2:].isnan().all()


@pytest.mark.parametrize('norms', [False, True])
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_tensors_may_be_parts_of_others_and_gradients_stay_in_their_place(backend, norms):
    hq, hk, size = 3, 2, 12
    qkv, gradient, cos, sin, weights = problem(9, hq, hk, size, 8, torch.float32)
    given = {'q_weight': weights[0], 'k_weight': weights[1]} if norms else {}
    plain = {'heads': (hq, hk), 'head_dim': size, 'backend': backend, **given}
    expected, rstd = rotate(qkv.clone(), cos, sin, **plain)
    out = wider(torch.zeros_like(expected))
    rotate(wider(qkv), wider(cos), wider(sin), out=out, **plain)
    assert torch.equal(out, expected) and untouched(out)
    saved = {'qkv': qkv, 'rstd': rstd, 'weight_grad': True} if norms else {}
    dqkv, *of_weights = rotate_backward(*parts(gradient, hq, hk), cos, sin, backend=backend, **given, **saved)
    place = wider(gradient)
    if norms:
        saved['qkv'] = wider(qkv)
    again, *of_weights_again = rotate_backward(*parts(place, hq, hk), wider(cos), wider(sin), out=place,
                                               backend=backend, **given, **saved)
    assert again is place and torch.equal(place, dqkv) and untouched(place)
    for one, other in zip(of_weights, of_weights_again, strict=True):
        assert one is other is None or torch.equal(one, other)
    by_head = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in parts(gradient, hq, hk)]
    assert torch.equal(rotate_backward(*by_head, cos, sin, backend=backend, **given, **saved)[0], dqkv)


def test_weight_gradients_are_the_same_each_time_and_over_several_tiles_of_a_program():
    hq, hk, size = 6, 2, 64
    qkv, gradient, cos, sin, weights = problem(60, hq, hk, size, size, torch.float32)  # 10 tiles, 4 programs here
    given = {'q_weight': weights[0], 'k_weight': weights[1]}
    rstd = rotate(qkv, cos, sin, heads=(hq, hk), head_dim=size, **given)[1]
    found = [rotate_backward(*parts(gradient, hq, hk), cos, sin, qkv=qkv, rstd=rstd, weight_grad=True, backend=backend,
                             **given) for backend in ('triton', 'triton', 'torch')]
    for first, second, plain in zip(*found, strict=True):
        assert torch.equal(first, second)
        near(first, plain, 1e-6)


def test_what_does_not_fit_is_told():
    qkv, gradient, cos, sin, weights = problem(3, 2, 1, 8, 8, torch.float32)
    given = {'heads': (2, 1), 'head_dim': 8}
    with pytest.raises(ValueError, match=r'qkv must be \[T, 40\] for 3 \+ 2 x 1 heads of 8.*got \[3, 32\]'):
        rotate(qkv, cos, sin, heads=(3, 1), head_dim=8)
    with pytest.raises(ValueError, match=r'cos and sin must be \[3, R\] with R even and at most 8, got \[3, 7\]'):
        rotate(qkv, cos[:, :7], sin[:, :7], **given)
    with pytest.raises(ValueError, match=r'q_weight and k_weight must both be \[8\] or both None, got \[\[8\], None\]'):
        rotate(qkv, cos, sin, q_weight=weights[0], **given)
    with pytest.raises(ValueError, match=r'out must be \[3, 24\]'):
        rotate(qkv, cos, sin, out=torch.empty_like(qkv), **given)
    with pytest.raises(ValueError, match=r'dv must be \[3, 1, 8\].*got \[3, 2, 8\]'):
        rotate_backward(*gradient.unflatten(1, (4, 8)).split([2, 1, 1], 1)[:2], gradient.unflatten(1, (4, 8))[:, :2],
                        cos, sin)
    with pytest.raises(ValueError, match='qkv, rstd, q_weight and k_weight go together'):
        rotate_backward(*parts(gradient, 2, 1), cos, sin, qkv=qkv, q_weight=weights[0], k_weight=weights[1])


def test_check_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(monkeypatch):
    assert check(DEVICE, torch.float16) is None
    monkeypatch.setattr('swift.kernels.rotary_triton.backward', lambda *args: args[-1].zero_()[:2, :80])
    assert check(DEVICE, torch.float32) == 'result 2 of 14 differs from plain PyTorch\'s'
