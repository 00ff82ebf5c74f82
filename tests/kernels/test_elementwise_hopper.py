"""The kernels of norm, gated activation and rotary embedding compile for a Hopper GPU, on any machine.

Also that memory is read 16 bytes at a time and that no number leaves the registers: what their speed rests on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

_COMPILE = '''
import json, re
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from swift.kernels import gated_triton, norm_triton, rotary_triton

FLOATS = ('eps', 'offset', 'p', 'scale')
POINTERS = {'rstd_ptr': '*fp32', 'partial_ptr': '*fp32'}

def compiled(name, kernel, warps, **given):
    types, attributes = dict.fromkeys(given, 'constexpr'), {}
    for number, argument in enumerate(kernel.arg_names):
        if argument in given:
            continue
        types[argument] = (POINTERS.get(argument, '*bf16') if argument.endswith('_ptr') else
                           'fp32' if argument in FLOATS else 'i64' if argument == 'seed' else 'i32')
        if argument not in ('rows', 'tiles', 'seed', *FLOATS):
            attributes[(number,)] = [['tt.divisibility', 16]]
    made = triton.compile(ASTSource(kernel, types, given, attributes), target=GPUTarget('cuda', 90, 32),
                          options={'num_warps': warps})
    ptx, loads = made.asm['ptx'], r'ld\\.global\\S*'
    print(json.dumps({'name': name, 'cubin': 'cubin' in made.asm, 'wide': len(re.findall(loads + r'v4\\.b32', ptx)),
                      'narrow': len(re.findall(loads, ptx)) - len(re.findall(loads + r'v[24]\\.b32', ptx)),
                      'spilled': '.local' in ptx}))

for width in (896, 3584):
    block, rows, warps = norm_triton.tile_of(width)
    tile = {'D': width, 'BLOCK': block, 'ROWS': rows}
    compiled(f'add_rms_norm {width}', norm_triton._forward, warps, ADD=True, **tile)
    compiled(f'rms_norm_backward {width}', norm_triton._backward, warps, RESIDUAL=True, WEIGHT_GRAD=True, **tile)
for kind in ('silu', 'gelu_tanh', 'gelu'):
    compiled(f'gated {kind}', gated_triton._forward, 8, WIDTH=18944, KIND=kind, ROWS=4, COLUMNS=1024)
    compiled(f'gated_backward {kind}', gated_triton._backward, 8, WIDTH=18944, KIND=kind, ROWS=4, COLUMNS=1024,
             WITH_ACT=True, RANK=0, BLOCK_RANK=16, DROP=False)
compiled('gated_backward adapter', gated_triton._backward, 8, WIDTH=8960, KIND='silu', ROWS=32, COLUMNS=128,
         WITH_ACT=True, RANK=24, BLOCK_RANK=32, DROP=True)
cos = torch.empty(1, 64)
shape, warps = rotary_triton._shape(cos, 128)
for norm in (False, True):
    for interleaved in (False, True):
        both = {'HQ': 28, 'HK': 4, 'NORM': norm, 'INTERLEAVED': interleaved, **shape}
        compiled(f'rotate {norm} {interleaved}', rotary_triton._forward, warps, INVERSE=False, IN_PLACE=not norm,
                 **both)
        compiled(f'rotate_backward {norm} {interleaved}', rotary_triton._backward, warps, WEIGHT_GRAD=norm, **both)
shape, warps = rotary_triton._shape(cos[:, :16], 80)
compiled('rotate_backward partial', rotary_triton._backward, warps, HQ=3, HK=1, NORM=True, INTERLEAVED=True,
         WEIGHT_GRAD=True, **shape)
'''


@pytest.mark.slow
def test_they_compile_with_wide_loads_and_without_spilling():
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    run = subprocess.run([sys.executable, '-c', _COMPILE], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) == 20
    for kernel in found:
        assert kernel['cubin'] and kernel['wide'] >= 2 and not kernel['spilled'], kernel
        if 'rotate' not in kernel['name'] and 'adapter' not in kernel['name']:
            assert kernel['narrow'] <= 2, kernel  # reciprocals of rows
