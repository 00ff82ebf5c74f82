"""The Triton pass against the plain one: on the GPU, or in Triton's interpreter where there is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from swift.kernels.loss_head import PLAIN, LossTerms, check, linear_nll, plain_pass

pytest.importorskip('triton', reason='triton is not installed: pip install triton')
from swift.kernels.loss_head_triton import BLOCK, triton_pass

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
EVERYTHING = LossTerms(scale=0.5, softcap=5.0, label_smoothing=0.1, z_loss=0.01)
# of the largest gradient: the last bit of each dtype, as both compute in float32
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('terms', [PLAIN, EVERYTHING, LossTerms(softcap=30.0)], ids=['plain', 'everything', 'cap'])
@pytest.mark.parametrize('vocabulary', [1, 7, BLOCK, 2 * BLOCK + 317])
def test_it_is_the_plain_pass(dtype, terms, vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = torch.randn(4, vocabulary, generator=generator) * 4
    targets = torch.randint(vocabulary, (4,), generator=generator)
    targets[0] = logits[0].argmax()
    logits[1], targets[1] = 2.0, vocabulary - 1  # all equal: the likeliest is the first
    targets[2] = vocabulary - 1
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0])
    found = []
    for make_pass in (plain_pass, triton_pass):
        z, losses = logits.to(DEVICE, dtype, copy=True), torch.full((4,), float('nan'), device=DEVICE)
        right = torch.empty(4, dtype=torch.bool, device=DEVICE)
        make_pass(z, targets.to(DEVICE), weights.to(DEVICE), terms, 4.0, losses, right)
        found.append((z.float(), losses, right))
    (z, losses, right), (other_z, other_losses, other_right) = found
    torch.testing.assert_close(other_losses, losses, rtol=1e-5, atol=1e-5)
    assert other_right.tolist() == right.tolist()
    assert right.tolist()[0] and right.tolist()[1] == (vocabulary == 1)
    assert (z - other_z).abs().max() <= TOLERANCE[dtype] * z.abs().max() + 1e-6
    assert not other_z[3].any()


def test_without_gradient_it_only_finds_the_loss():
    z, targets = torch.randn(3, 50, device=DEVICE), torch.tensor([1, 2, 49], device=DEVICE)
    losses, weights = torch.empty(3, device=DEVICE), torch.ones(3, device=DEVICE)
    before = z.clone()
    triton_pass(z, targets, weights, PLAIN, None, losses, None)
    assert torch.equal(z, before)
    torch.testing.assert_close(losses, torch.nn.functional.cross_entropy(z, targets, reduction='none'))


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
def test_the_whole_head_with_it_is_the_head_without(dtype):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(30, 16, generator=generator).to(DEVICE, dtype).requires_grad_()
    weight = torch.randn(211, 16, generator=generator).to(DEVICE, dtype).requires_grad_()
    targets = torch.randint(211, (20,), generator=generator).to(DEVICE)
    rows, weights = torch.arange(5, 25, device=DEVICE), torch.rand(20, generator=generator).to(DEVICE)
    found = [linear_nll(hidden, weight, targets, weights, rows=rows, backend=backend, terms=EVERYTHING, memory=0)
             for backend in ('torch', 'triton')]
    torch.testing.assert_close(found[1].loss, found[0].loss)
    assert torch.equal(found[1].right, found[0].right)
    for ours, plain in zip(*(torch.autograd.grad(one.loss, (hidden, weight)) for one in found), strict=True):
        assert (ours - plain).abs().max() <= TOLERANCE[dtype] * plain.abs().max()


def test_check_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(monkeypatch):
    assert check(DEVICE, torch.float32) is None

    def without_target(*args):
        plain_pass(*args)
        args[0][0, 0] += 1

    monkeypatch.setattr('swift.kernels.loss_head_triton.triton_pass', without_target)
    assert 'gradients differ' in check(DEVICE, torch.float32)

    def broken(*args):
        raise RuntimeError('no kernel image\nat line 3')

    monkeypatch.setattr('swift.kernels.loss_head_triton.triton_pass', broken)
    assert check(DEVICE, torch.float32) == 'it does not run here (no kernel image)'


_COMPILE = '''
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from swift.kernels.loss_head_triton import _row
given = dict(V=151936, SCALE=1.0, SOFTCAP=30.0, SMOOTHING=0.1, Z_LOSS=1e-4, WITH_GRADIENT=True, WITH_RIGHT=True,
             BLOCK=8192)
types = dict(z_ptr='*bf16', stride='i32', targets_ptr='*i64', weights_ptr='*fp32', losses_ptr='*fp32',
             right_ptr='*u8', grad_scale='fp32', **dict.fromkeys(given, 'constexpr'))
made = triton.compile(ASTSource(_row, types, given), target=GPUTarget('cuda', 90, 32), options={'num_warps': 16})
print('cubin' in made.asm)
'''


@pytest.mark.slow
def test_it_compiles_for_hopper_on_any_machine():
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run([sys.executable, '-c', _COMPILE], env=environment, capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == 'True', run.stderr
