"""AdamW over many tensors: the formula in float64, torch.optim.AdamW, and what stochastic rounding is for."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from swift.kernels.adamw import (
    CHUNK,
    QUARTER,
    ROUNDS,
    Adam,
    Slot,
    adamw_step,
    check,
    clipping_scale,
    philox,
    rounded,
    square_sum,
    words,
)

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
BACKENDS = ['torch', pytest.param('triton', marks=pytest.mark.skipif(
    not (torch.cuda.is_available() or os.environ.get('TRITON_INTERPRET')), reason='needs a GPU or the interpreter'))]
SHAPES = [(3, 50), (CHUNK + 16,), (17,), (1,), (0,), (QUARTER, 2)]
NUMBERS = {'lr': 1e-2, 'betas': (0.9, 0.95), 'eps': 1e-8, 'weight_decay': 0.1}


def drawn(seed, shapes=tuple(SHAPES), dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(DEVICE, dtype) for shape in shapes]


def slots_of(weights, moments=torch.float32):
    return [[w, torch.zeros(w.shape, dtype=moments, device=DEVICE), torch.zeros(w.shape, dtype=moments, device=DEVICE)]
            for w in weights]


def steps(backend, weights, gradients, *, max_norm=None, moments=torch.float32, skip=None, **more):
    kept = slots_of(weights, moments)
    for step, of_step in enumerate(gradients, 1):
        scale = None if max_norm is None else clipping_scale(square_sum(of_step, backend=backend).sqrt(), max_norm)
        adamw_step([Slot(w, g, m, v, number) for number, ((w, m, v), g) in enumerate(zip(kept, of_step, strict=True))],
                   Adam(step, **(NUMBERS | more)), scale=scale, skip=skip, backend=backend)
    return kept


def oracle(weights, gradients, max_norm=None):
    """The formula in float64."""
    found = []
    norms = [torch.cat([g.double().flatten() for g in of_step]).norm() for of_step in gradients]
    for number, weight in enumerate(weights):
        w, m, v = weight.double(), torch.zeros_like(weight).double(), torch.zeros_like(weight).double()
        for t, of_step in enumerate(gradients, 1):
            g = of_step[number].double()
            if max_norm is not None and norms[t - 1] > max_norm:
                g = g * max_norm / norms[t - 1]
            (b1, b2), lr = NUMBERS['betas'], NUMBERS['lr']
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g ** 2
            w = w - lr * NUMBERS['weight_decay'] * w
            w = w - lr * (m / (1 - b1 ** t)) / ((v / (1 - b2 ** t)).sqrt() + NUMBERS['eps'])
        found.append((w, m, v))
    return found


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('max_norm', [None, 0.5])
def test_float32_is_the_formula_in_float64(backend, max_norm):
    weights, gradients = drawn(0), [drawn(seed) for seed in (1, 2)]
    expected = oracle(weights, gradients, max_norm)
    for (kept, exact) in zip(steps(backend, [w.clone() for w in weights], gradients, max_norm=max_norm), expected,
                             strict=True):
        for ours, theirs in zip(kept, exact, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS)
def test_float32_is_torch_with_its_clipping(backend):
    weights, gradients = drawn(0), [drawn(seed) for seed in (1, 2)]
    parameters = [torch.nn.Parameter(w.clone()) for w in weights]
    optimizer = torch.optim.AdamW(parameters, **NUMBERS)
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
    for kept, theirs in zip(steps(backend, weights, gradients, max_norm=0.5), parameters, strict=True):
        torch.testing.assert_close(kept[0], theirs.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('dtype, moments, stochastic', [
    (torch.bfloat16, torch.bfloat16, True), (torch.bfloat16, torch.float32, True),
    (torch.float32, torch.bfloat16, True), (torch.bfloat16, torch.bfloat16, False),
    (torch.float16, torch.float32, False)], ids=str)
def test_the_kernel_is_the_plain_way_to_the_bit(dtype, moments, stochastic):
    """Where both round in float32 alike; on a GPU the last bits of float32 may differ (see check)."""
    pytest.importorskip('triton')
    if torch.cuda.is_available():
        assert check(DEVICE, dtype) is None
        return
    gradients = [drawn(seed, dtype=dtype) for seed in (1, 2)]
    one, other = (steps(backend, drawn(0, dtype=dtype), gradients, moments=moments, stochastic=stochastic, seed=5)
                  for backend in ('torch', 'triton'))
    different = total = 0
    for ours, plain in zip(other, one, strict=True):
        for fast, slow in zip(ours, plain, strict=True):
            assert fast.dtype == slow.dtype
            torch.testing.assert_close(fast, slow, rtol=1e-6 if fast.dtype == torch.float32 else 8e-3, atol=1e-6)
            total += fast.numel()
            different += int((fast != slow).sum()) if fast.dtype != torch.float32 else 0
    assert different <= 2e-3 * total


@pytest.mark.parametrize('backend', BACKENDS)
def test_the_norm_is_that_of_all_numbers(backend):
    gradients = [*drawn(1), *drawn(2, dtype=torch.bfloat16), drawn(3, [(40, 30)])[0].t()]
    expected = torch.cat([g.double().flatten() for g in gradients]).square().sum()
    torch.testing.assert_close(square_sum(gradients, backend=backend), expected, rtol=1e-6, atol=0)
    assert square_sum([], backend=backend) == 0
    for bad in (float('nan'), float('inf'), 1e30):
        gradients[1][7] = bad
        assert not square_sum(gradients, backend=backend).isfinite()


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('shapes', [SHAPES, [(70,)]], ids=['many', 'one'])
def test_a_skipped_step_changes_nothing(backend, shapes):
    weights = drawn(0, shapes)
    before = [w.clone() for w in weights]
    bad = [torch.full_like(w, float('nan')) for w in weights]
    kept = steps(backend, weights, [bad], skip=torch.ones((), device=DEVICE))
    assert all(torch.equal(w, old) and not m.any() and not v.any()
               for (w, m, v), old in zip(kept, before, strict=True))
    steps(backend, weights, [drawn(1, shapes)], skip=torch.zeros((), device=DEVICE))
    assert not any(torch.equal(w, old) for w, old in zip(weights, before, strict=True) if w.numel())


@pytest.mark.parametrize('backend', BACKENDS)
def test_memory_that_is_not_in_order_or_not_aligned(backend):
    storage = drawn(0, [(3 * 64 + 1,)])[0]
    weights = [storage[1:129].view(2, 64), drawn(4, [(20, 30)])[0].t()]
    gradients = [drawn(1, [(2, 64)])[0], drawn(2, [(20, 30)])[0].t()]
    expected = oracle([w.clone() for w in weights], [gradients])
    rest = storage[129:].clone()
    kept = steps(backend, weights, [gradients])
    for (w, _, _), (exact, _, _) in zip(kept, expected, strict=True):
        torch.testing.assert_close(w.double(), exact, rtol=1e-6, atol=1e-6)
    assert torch.equal(storage[129:], rest)


def test_philox_is_that_of_the_paper():
    """Random123's own known answers are of 10 rounds; so the rounds are numpy's, and 10 of them the known ones."""
    def rounds(c, key, count):
        for _ in range(count):
            low, high = int(c[0]) * 0xD2511F53, int(c[2]) * 0xCD9E8D57
            c = [(high >> 32) ^ int(c[1]) ^ key[0], high & 0xFFFFFFFF, (low >> 32) ^ int(c[3]) ^ key[1],
                 low & 0xFFFFFFFF]
            key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return c

    assert rounds([0] * 4, [0] * 2, 10) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # kat_vectors, Random123
    seed, places = 0x123456789ABCDEF, [0, 1, 77, 2**32 - 1]
    got = philox(torch.tensor(places), 9, 4, seed)
    for number, place in enumerate(places):
        assert [int(word[number]) for word in got] == rounds([place, 9, 4, 0], [seed & 0xFFFFFFFF, seed >> 32], ROUNDS)


def test_words_of_a_part_are_those_of_the_whole():
    whole = words(3 * CHUNK - 5, 0, 1, 2, 3, DEVICE)
    assert torch.equal(words(CHUNK - 5, 2 * CHUNK, 1, 2, 3, DEVICE), whole[2 * CHUNK:])
    assert len(whole.unique()) > 0.999 * len(whole)
    others = [words(CHUNK, 0, *other, DEVICE) for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]
    assert all((other == whole[:CHUNK]).sum() == 0 for other in others)
    halves = np.stack([whole.cpu() & 0xFFFF, whole.cpu() >> 16, (whole.cpu() & 0xFFFF) ^ (whole.cpu() >> 16)])
    assert np.abs(halves.mean(1) / 32767.5 - 1).max() < 0.02
    assert np.abs(np.corrcoef(halves) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize('value', [1 + 2**-9, -3.1, 1e-38, 255.99])
def test_rounding_is_right_in_the_mean(value):
    """Between the two neighbours, each with the probability of its nearness; a number of bfloat16 stays."""
    values = torch.full((1 << 16,), value)
    got = rounded(values, torch.arange(1 << 16, dtype=torch.int32))
    below, above = got.float().min(), got.float().max()
    assert below <= values[0] <= above and len(got.unique()) <= 2
    torch.testing.assert_close(got.double().mean(), values[0].double(), rtol=1e-7, atol=1e-45)
    assert torch.equal(rounded(got.float(), torch.full((1 << 16,), 0xFFFF, dtype=torch.int32)), got)


def descent(dtype, moments, stochastic, count=300):
    """AdamW with a learning rate of 1e-5 that walks a thousand weights of size 0.02 to their goals, 0.02 away."""
    generator = torch.Generator().manual_seed(0)
    start = (torch.randn(1024, generator=generator) * 0.02).bfloat16()
    goal = start.float() + 0.02 * torch.randn(1024, generator=generator).sign()
    w, m, v = start.to(dtype, copy=True), torch.zeros(1024, dtype=moments), torch.zeros(1024, dtype=moments)
    for step in range(1, count + 1):
        noise = 0.005 * torch.randn(1024, generator=generator)
        adamw_step([Slot(w, (w.float() - goal + noise).to(dtype), m, v)],
                   Adam(step, 1e-5, (0.9, 0.95), stochastic=stochastic, seed=1), backend='torch')
    return (w.double() - start.double()) * (goal - start.float()).sign()


def test_at_a_usual_learning_rate_bfloat16_stalls_and_stochastic_rounding_does_not():
    exact = descent(torch.float32, torch.float32, False).mean()
    nearest = descent(torch.bfloat16, torch.bfloat16, False).mean()
    assert 2e-3 < exact < 3.1e-3  # 300 steps of at most 1e-5
    assert nearest < 0.5 * exact
    for moments in (torch.float32, torch.bfloat16):
        stochastic = descent(torch.bfloat16, moments, True)
        assert abs(stochastic.mean() / exact - 1) < 0.03


def test_sparse_gradients_are_refused():
    w = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r'dense gradients .*\[4, 2\].*sparse'):
        adamw_step([Slot(w, w.to_sparse(), w, w)], Adam(1, 0.1))


def test_check_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(monkeypatch):
    dtype = torch.bfloat16
    module = pytest.importorskip('swift.kernels.adamw_triton')
    assert check(DEVICE, dtype) is None
    right = module.triton_step
    monkeypatch.setattr(module, 'triton_step', lambda slots, adam, scale, skip: right(slots, adam, None, skip))
    assert 'differs from plain PyTorch' in check(DEVICE, dtype)

    def broken(*args):
        raise RuntimeError('no kernel image\nat line 3')

    monkeypatch.setattr(module, 'triton_step', broken)
    assert check(DEVICE, dtype) == 'it does not run here (no kernel image)'


_COMPILE = '''
import re
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from swift.kernels.adamw_triton import _squares_many, _squares_one, _step_many, _step_one

floats = ('step_size', 'shrink', 'beta1', 'rest1', 'beta2', 'rest2', 'eps', 'root')

def made(kernel, types, given, aligned=()):
    types = types | dict.fromkeys(given, 'constexpr')
    attributes = {(number,): [['tt.divisibility', 16]] for number in aligned}
    return triton.compile(ASTSource(kernel, types, given, attributes), target=GPUTarget('cuda', 90, 32),
                          options={'num_warps': 4}).asm

common = {**dict.fromkeys(floats, 'fp32'), 'seed': 'i64', 'step': 'i32'}
noise = {'STOCHASTIC_W': True, 'STOCHASTIC_M': True, 'ROUNDS': 7, 'QUARTER': 1024}
tables = {'owners_ptr': '*i32', 'firsts_ptr': '*i32', 'sizes_ptr': '*i64'}
flags = {'scale_ptr': '*fp32', 'skip_ptr': '*fp32'}
many = made(_step_many, {'table_ptr': '*i64', 'count': 'i32', **tables, **flags, **common},
            {'W': tl.bfloat16, 'G': tl.bfloat16, 'M': tl.bfloat16, 'ALIGNED': True, **noise})
one = made(_step_one, {**dict.fromkeys(('w_ptr', 'g_ptr', 'm_ptr', 'v_ptr'), '*bf16'), 'size': 'i32', 'number': 'i32',
                       'skip_ptr': '*fp32', **common}, {'scale_ptr': None, **noise}, range(5))
norms = [made(_squares_many, {'table_ptr': '*i64', **tables, 'sums_ptr': '*fp32'},
              {'G': tl.bfloat16, 'ALIGNED': True, 'CHUNK': 4096}),
         made(_squares_one, {'g_ptr': '*bf16', 'size': 'i32', 'sums_ptr': '*fp32'}, {'CHUNK': 4096}, range(3))]
assert all('cubin' in asm for asm in (many, one, *norms))
for asm in (many, one):  # 16 bytes at a time, each way
    assert len(re.findall(r'ld.global.v4', asm['ptx'])) == 16 and len(re.findall(r'st.global.v4', asm['ptx'])) == 12
assert all('ld.global.v4' in asm['ptx'] for asm in norms)
print('compiled')
'''


@pytest.mark.slow
def test_it_compiles_for_hopper_on_any_machine():
    pytest.importorskip('triton')
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run([sys.executable, '-c', _COMPILE], env=environment, capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == 'compiled', run.stderr
