"""Attention over documents against the formula in float64, one document at a time, in values and gradients."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swift.kernels import varlen
from swift.kernels.varlen import Documents, attend, choose_implementation

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
LINES = {'several': (5, 1, 13, 2, 13), 'one': (29,), 'single tokens': (1, 1, 1)}
WANTED = {'causal': {}, 'all': {'causal': False}, 'window': {'window': 7}, 'scale': {'scale': 0.3},
          'window of one': {'window': 1}, 'softcap': {'softcap': 1.5}, 'sinks': {'sinks': True},
          'together': {'window': 5, 'softcap': 2.0, 'sinks': True, 'scale': 0.5}}


def problem(tokens, heads=(4, 2), dtype=torch.float32, width=8, value_width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(tokens, heads[0], width), (tokens, heads[1], width), (tokens, heads[1], value_width)]
    q, k, v = (torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes)
    sinks = torch.randn(heads[0], generator=generator).to(dtype).requires_grad_()
    return q, k, v, sinks, torch.randn(tokens, heads[0], value_width, generator=generator)


def formula(q, k, v, sinks, lengths, *, scale=None, window=None, softcap=None, causal=True):
    """The docstring of the module, word for word, in float64 and with a loop over every query and head."""
    out, begin = torch.zeros(*q.shape[:2], v.shape[2], dtype=torch.float64), 0
    scale = q.shape[2] ** -0.5 if scale is None else scale
    for length in lengths:
        for i in range(begin, begin + length):
            first = begin if window is None else max(begin, i - window + 1)
            last = i + 1 if causal else begin + length
            for h in range(q.shape[1]):
                group = h // (q.shape[1] // k.shape[1])
                s = scale * (k[first:last, group] @ q[i, h])
                s = s if softcap is None else softcap * torch.tanh(s / softcap)
                denominator = s.exp().sum() + (0 if sinks is None else sinks[h].exp())
                out[i, h] = (s.exp() / denominator) @ v[first:last, group]
        begin += length
    return out


def assert_near(ours, expected, tolerance):
    assert ours.shape == expected.shape
    assert ((ours.double() - expected).abs().max() / expected.abs().max().clamp(min=0.1)).item() <= tolerance


def assert_is_the_formula(leaves, sinks, above, lengths, tolerance, implementation=None, **wanted):
    inputs = [*leaves, *([] if sinks is None else [sinks])]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    expected = formula(*exact[:3], exact[3] if sinks is not None else None, lengths, **wanted)
    gradients = torch.autograd.grad((expected * above).sum(), exact)
    found = attend(*leaves, Documents.of(lengths), sinks=sinks, implementation=implementation, **wanted)
    assert found.dtype == leaves[0].dtype
    ours = torch.autograd.grad((found.double() * above).sum(), inputs)
    assert_near(found, expected.detach(), tolerance)
    for one, other in zip(ours, gradients, strict=True):
        assert_near(one, other, tolerance * 2)


@pytest.mark.parametrize('heads', [(4, 4), (4, 2), (3, 1)], ids=str)
@pytest.mark.parametrize('line', LINES)
@pytest.mark.parametrize('what', WANTED)
def test_values_and_gradients_are_those_of_the_formula(what, line, heads):
    wanted = dict(WANTED[what])
    q, k, v, sinks, above = problem(sum(LINES[line]), heads)
    sinks = sinks if wanted.pop('sinks', False) else None
    assert_is_the_formula((q, k, v), sinks, above, LINES[line], TOLERANCE[torch.float32], **wanted)


@pytest.mark.parametrize('implementation', ['sdpa', 'plain'])
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
def test_every_dtype(dtype, implementation):
    q, k, v, _, above = problem(40, dtype=dtype)
    assert_is_the_formula((q, k, v), None, above, (25, 15), TOLERANCE[dtype], implementation, window=9)


@pytest.mark.parametrize('rows', [1, 4])
@pytest.mark.parametrize(('implementation', 'softcap'), [('sdpa', None), ('plain', 2.0)])
def test_blocks_of_queries_change_nothing(monkeypatch, implementation, softcap, rows):
    """With 512 rows a block no document of this file has a second one."""
    monkeypatch.setattr(varlen, '_ROWS', rows)
    q, k, v, _, above = problem(30)
    for window in (3, 10, None):
        assert_is_the_formula((q, k, v), None, above, (21, 9), 5e-6, implementation, window=window, softcap=softcap)


def test_values_may_have_another_width():
    q, k, v, _, above = problem(12, value_width=5)
    assert_is_the_formula((q, k, v), None, above, (7, 5), 5e-6)


@pytest.mark.filterwarnings('ignore:flex_attention called without')
@pytest.mark.parametrize('wanted', [{}, {'window': 7}, {'softcap': 1.5}, {'causal': False}], ids=str)
def test_flex_attention_gives_the_same_values(wanted):
    q, k, v, _, _ = (x.detach() for x in problem(34))
    documents = Documents.of(LINES['several'])
    torch.testing.assert_close(attend(q, k, v, documents, implementation='flex', **wanted),
                               attend(q, k, v, documents, **wanted), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('implementation', ['sdpa', 'plain'])
def test_dropout_leaves_out_and_scales_up(implementation):
    """With values of one, the output is the sum of the probabilities that are left, whose mean stays one."""
    q, k, _, _, _ = problem(64)
    torch.manual_seed(0)
    found = attend(q, k, torch.ones_like(k), Documents.of([64]), dropout=0.5, implementation=implementation)
    assert found.std() > 0.1
    assert abs(found.mean().item() - 1) < 0.1


class Largest(TorchDispatchMode):
    """The size of the largest tensor that an operator returned."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


@pytest.mark.parametrize('softcap', [None, 20.0])
@pytest.mark.parametrize('window', [None, 32])
def test_nothing_has_the_size_of_the_line_squared(window, softcap):
    q, k, v, _, above = problem(1024, heads=(2, 1))
    documents = Documents.of([64] * 16)
    with Largest() as seen:
        attend(q, k, v, documents, window=window, softcap=softcap).backward(above)
    assert seen.elements < 1024 * 64


def test_documents_are_numbers_made_on_the_cpu():
    documents = Documents.of(torch.tensor([3, 1, 5]))
    assert documents.starts.tolist() == [0, 3, 4, 9] and documents.starts.dtype == torch.int32
    assert (documents.lengths, documents.longest, documents.tokens) == ((3, 1, 5), 5, 9)
    assert documents.to('cpu') is documents
    assert documents.to('meta').starts.device.type == 'meta' and documents.to('meta').lengths == (3, 1, 5)


@pytest.mark.parametrize('lengths', [(), (3, 0)])
def test_documents_without_tokens_are_refused(lengths):
    with pytest.raises(ValueError, match='at least one token each'):
        Documents.of(lengths)


@pytest.mark.parametrize(('change', 'said'), [
    ({'documents': Documents.of([5])}, 'documents have 5 tokens together, and the line has 6'),
    ({'q': torch.zeros(6, 3, 8)}, 'H_q a multiple of H_kv'), ({'k': torch.zeros(6, 2, 4)}, 'q must be'),
    ({'window': 0}, 'window must be above 0'), ({'window': 3, 'causal': False}, 'needs causal=True'),
    ({'softcap': 1.0, 'implementation': 'sdpa'}, "'sdpa' has no soft-capping"),
    ({'sinks': torch.zeros(4), 'implementation': 'flex'}, "'flex' has no sinks"),
    ({'implementation': 'varlen'}, 'runs on CUDA in float16 and bfloat16, not on cpu')], ids=str)
def test_what_does_not_fit_is_refused(change, said):
    arguments = {'q': torch.zeros(6, 4, 8), 'k': torch.zeros(6, 2, 8), 'v': torch.zeros(6, 2, 8),
                 'documents': Documents.of([4, 2]), **change}
    with pytest.raises(ValueError, match=said):
        attend(**arguments)


def test_autocast_decides_the_dtype():
    q, k, v, _, _ = problem(9)
    with torch.autocast('cpu', torch.bfloat16):
        found = attend(q, k.double(), v, Documents.of([4, 5]))
    assert found.dtype == torch.bfloat16


@pytest.mark.parametrize(('names', 'causal', 'windowed'), [
    (('is_causal',), {'is_causal': True}, None),
    (('is_causal', 'window_size'), {'is_causal': True}, {'window_size': (6, 0)}),
    (('window_size', 'enable_gqa'), {'window_size': (-1, 0), 'enable_gqa': True},
     {'window_size': (6, 0), 'enable_gqa': True})], ids=str)
def test_every_known_signature_of_varlen_attn_is_called_rightly(names, causal, windowed):
    keywords = varlen._VarlenKeywords(True, *(name in names for name in ('is_causal', 'window_size', 'enable_gqa')))
    terms = [varlen._Terms(0.5, window, None, 0.0, True) for window in (None, 7)]
    assert keywords.options(terms[0], groups=2) == {'scale': 0.5, **causal}
    if windowed is None:
        assert 'no sliding window' in keywords.unable(terms[1])
    else:
        assert keywords.options(terms[1], groups=2) == {'scale': 0.5, **windowed}


def test_the_installed_varlen_attn_takes_what_it_is_given():
    from torch.nn.attention.varlen import varlen_attn

    for terms in (varlen._Terms(0.5, None, None, 0.0, True), varlen._Terms(0.5, 7, None, 0.0, True),
                  varlen._Terms(0.5, None, None, 0.0, False)):
        inspect.signature(varlen_attn).bind(*[None] * 7, **varlen._varlen_keywords().options(terms, groups=2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='a GPU is needed')
@pytest.mark.parametrize('wanted', [{}, {'window': 7}, {'causal': False}, {'scale': 0.3}], ids=str)
@pytest.mark.parametrize(('width', 'value_width'), [(64, 64), (128, 128), (48, 32)])
@pytest.mark.parametrize('heads', [(4, 4), (14, 2)], ids=str)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('implementation', ['varlen', 'sdpa', 'plain', 'flex'])
def test_every_implementation_on_a_gpu(implementation, dtype, heads, width, value_width, wanted):
    if implementation == 'flex' and (width & (width - 1) or width != value_width or dtype == torch.float16):
        pytest.skip('a compilation for each: the usual shapes are enough')
    leaves = [x.detach().cuda().requires_grad_() for x in problem(170, heads, dtype, width, value_width)[:3]]
    above = torch.randn(170, heads[0], value_width, device='cuda')
    documents = Documents.of((5, 1, 33, 2, 129)).to('cuda')
    exact = [x.detach().double().requires_grad_() for x in leaves]
    found, expected = (attend(*x, documents, implementation=name, **wanted)
                       for x, name in ((leaves, implementation), (exact, 'plain')))
    assert choose_implementation(leaves[0], leaves[2], varlen._Terms(1.0, None, None, 0.0, True), None) == 'varlen'
    assert_near(found, expected, TOLERANCE[dtype])
    for ours, other in zip(torch.autograd.grad((found.double() * above).sum(), leaves),
                           torch.autograd.grad((expected * above).sum(), exact), strict=True):
        assert_near(ours, other, TOLERANCE[dtype] * 2)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = ('import sys, torch.utils.checkpoint; before = set(sys.modules); import swift.kernels.varlen; '
            'print([m for m in set(sys.modules) - before if m.split(".")[0] in ("triton", "transformers", "torch")])')
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == '[]'
