"""The Triton kernels of LoRA against the formulas, on the GPU or in Triton's interpreter, and compiled for Hopper."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from swift.kernels.lora import Drop, a_grad, check, down, up_grad
from tests.kernels.philox import keep_mask
from tests.kernels.test_lora import assert_near, by_formula, given

pytest.importorskip('triton', reason='triton is not installed: pip install triton')
from swift.kernels import lora_triton

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
DROP = Drop(0.3, 2 ** 40 + 5)
# the interpreter multiplies the bits of bfloat16 as if they were whole numbers
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3} | ({torch.bfloat16: 3e-2} if DEVICE.type == 'cuda' else {})


def kept(tokens, width, groups, drop=DROP):
    return torch.stack([keep_mask(drop.seed, tokens, width, group, drop.p).double() * drop.scale
                        for group in range(groups)])


def compare(tokens, width, rank, groups, dtype=torch.float32):
    x, a, low, dx = given(tokens, width, rank, groups, dtype)
    expected = by_formula(x, a, low, dx, kept(tokens, width, groups))
    x, a, low, dx = (tensor.to(DEVICE) for tensor in (x, a, low, dx))
    xa = down(x, a, groups=groups, drop=DROP, backend='triton')
    up_grad(low, a, dx, groups=groups, drop=DROP, backend='triton')
    da = a_grad(low, x, groups=groups, drop=DROP, backend='triton')
    assert da.dtype == torch.float32 and xa.dtype == dtype
    for one, other in zip((xa, dx, da), expected, strict=True):
        assert_near(one.cpu(), other, TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize(('tokens', 'width', 'rank', 'groups'), [
    (0, 65, 8, 2), (1, 1, 1, 1), (3, 7, 24, 1), (130, 65, 16, 3), (3, 65, 8, 4), (3, 200, 64, 2)])
def test_they_are_the_formulas_under_the_mask(tokens, width, rank, groups, dtype):
    compare(tokens, width, rank, groups, dtype)


@pytest.mark.slow
def test_a_usual_width():
    compare(3, 896, 16, 3)


def test_ranks_too_large_for_one_pass_take_several(monkeypatch):
    monkeypatch.setattr(lora_triton, '_MOST_COLUMNS_OF_SUMS', 32)
    assert lora_triton._slices_of(3, 16) == [(0, 2), (2, 1)]
    assert lora_triton._slices_of(2, 64) == [(0, 1), (1, 1)]
    compare(5, 70, 12, 3)


def test_parts_of_the_tokens_are_summed(monkeypatch):
    monkeypatch.setattr(lora_triton, 'LEAST_PART', 64)
    monkeypatch.setattr(lora_triton, 'MOST_PART', 64)
    compare(200, 30, 4, 2)


def test_what_dx_holds_may_be_overwritten():
    _, a, low, dx = given(5, 70, 4, 3)
    expected = by_formula(torch.zeros_like(dx), a, low, torch.zeros_like(dx), kept(5, 70, 3))[1]
    dx = torch.full_like(dx, float('nan')).to(DEVICE)
    up_grad(low.to(DEVICE), a.to(DEVICE), dx, groups=3, drop=DROP, overwrite=True, backend='triton')
    assert_near(dx.cpu(), expected, 1e-5)


def test_rows_may_be_further_apart():
    x, a, low, dx = given(5, 20, 4, 2)
    expected = by_formula(x, a, low, dx, kept(5, 20, 2))
    wide_x, wide_dx, wide_low, wide_out, wide_a = (torch.full((9, 50), 7.0, device=DEVICE) for _ in range(5))
    wide_x[:5, 3:23], wide_dx[:5, 3:23], wide_low[:5, 1:9], wide_a[:8, :20] = (t.to(DEVICE) for t in (x, dx, low, a))
    wide_a = wide_a[:8, :20]
    found = down(wide_x[:5, 3:23], wide_a, groups=2, drop=DROP, out=wide_out[:5, 5:13], backend='triton')
    up_grad(wide_low[:5, 1:9], wide_a, wide_dx[:5, 3:23], groups=2, drop=DROP, backend='triton')
    da = a_grad(wide_low[:5, 1:9], wide_x[:5, 3:23], groups=2, drop=DROP, backend='triton')
    for one, other in zip((found, wide_dx[:5, 3:23], da), expected, strict=True):
        assert_near(one.cpu(), other, 1e-5)
    for wide, first, last in ((wide_out, 5, 13), (wide_dx, 3, 23)):
        assert (wide[:, :first] == 7).all() and (wide[:, last:] == 7).all() and (wide[5:] == 7).all()


def test_the_mask_that_check_looks_at_is_that_of_the_kernels():
    for group in range(4):
        assert torch.equal(lora_triton.mask(5, 2000, DROP, group, DEVICE).cpu(),
                           keep_mask(DROP.seed, 5, 2000, group, DROP.p))


def test_check_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(monkeypatch):
    assert check(DEVICE, torch.float32) is None
    right = lora_triton.triton_up_grad

    def without_scale(low, a, dx, groups, drop, overwrite):
        right(low * (1 - drop.p), a, dx, groups, drop, overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(lora_triton, 'triton_up_grad', without_scale)
        assert check(DEVICE, torch.float32) == 'up_grad differs from plain PyTorch\'s'

    def broken(*args):
        raise RuntimeError('no kernel image\nat line 3')

    monkeypatch.setattr(lora_triton, 'triton_down', broken)
    assert check(DEVICE, torch.float32) == 'it does not run here (no kernel image)'


_COMPILE = '''
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from swift.kernels import lora_triton

def compiled(kernel, dtype, groups, rank, **more):
    tile = lora_triton._tile(torch.empty(1, dtype=dtype), groups, rank)
    options = {name: tile.pop(name) for name in ('num_warps', 'num_stages')}
    given = dict(D=3584, FIRST=0, GROUPS=groups, **tile, **more)
    pointer = {torch.float32: '*fp32', torch.bfloat16: '*bf16', torch.float16: '*fp16'}[dtype]
    types = {}
    for name in kernel.arg_names:
        kind = pointer if name.endswith('_ptr') else 'i32'
        types[name] = 'constexpr' if name in given else {'seed': 'i64', 'p': 'fp32', 'scale': 'fp32'}.get(name, kind)
    attributes = {(place,): [['tt.divisibility', 16]] for place, name in enumerate(kernel.arg_names)
                  if name.endswith(('_ptr', '_stride'))}
    made = triton.compile(ASTSource(kernel, types, given, attributes), target=GPUTarget('cuda', 90, 32),
                          options=options)
    assert 'cubin' in made.asm and made.metadata.shared <= 227 * 1024, (kernel, dtype, groups, rank)

for dtype, groups, rank in CASES:
    compiled(lora_triton._down, dtype, groups, rank)
    compiled(lora_triton._up_grad, dtype, groups, rank, OVERWRITE=False)
    compiled(lora_triton._a_grad, dtype, groups, rank, PART=1024)
print('all compiled')
'''


@pytest.mark.slow
@pytest.mark.parametrize('cases', [
    [(torch.bfloat16, groups, rank) for groups in (1, 2, 3, 4) for rank in (8, 16, 64)],
    [(torch.bfloat16, 1, 128), (torch.bfloat16, 1, 256), (torch.bfloat16, 2, 128), (torch.float16, 3, 16)],
    [(torch.float32, 1, 16), (torch.float32, 3, 16)]])
def test_they_compile_for_hopper_on_any_machine(cases):
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run([sys.executable, '-c', f'import torch\nCASES = {cases}\n{_COMPILE}'], env=environment,
                         capture_output=True, text=True, timeout=600)
    assert run.stdout.strip() == 'all compiled', run.stderr[-3000:]
