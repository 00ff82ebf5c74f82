"""The loss head against the formula in float64, transformers' own loss, and numerical derivatives."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.loss.loss_utils import ForCausalLMLoss

from swift.kernels.loss_head import PLAIN, LossTerms, buffer_bytes, chunk_rows, linear_nll

EVERYTHING = LossTerms(scale=0.5, softcap=3.0, label_smoothing=0.1, z_loss=0.01)
# of the largest value or gradient; 16-bit logits are rounded to 8 or 11 bits before the softmax, as in the plain way
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}
SIZES = [(1, 1, 7), (1, 9, 1), (257, 300, 1001), (128, 128, 64)]


def problem(tokens, positions, width, vocabulary, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(positions, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator) * 0.5
    bias = torch.randn(vocabulary, generator=generator)
    rows = torch.randperm(positions, generator=generator)[:tokens]
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    weights = torch.rand(tokens, generator=generator)
    leaves = [tensor.to(dtype).requires_grad_() for tensor in (hidden, weight, bias)]
    return *leaves, rows, targets, weights


def formula(hidden, weight, bias, rows, targets, weights, terms):
    """The docstring of the module, word for word, in float64: loss and gradients."""
    hidden, weight, bias = (tensor.detach().double().requires_grad_() for tensor in (hidden, weight, bias))
    z = (hidden[rows] @ weight.t() + bias) * terms.scale
    if terms.softcap is not None:
        z = terms.softcap * torch.tanh(z / terms.softcap)
    lse = z.exp().sum(1).log()
    nll = lse - z[torch.arange(len(rows)), targets]
    e = terms.label_smoothing
    loss = (weights.double() * ((1 - e) * nll + e * (lse - z.mean(1)) + terms.z_loss * lse ** 2)).sum()
    return loss.detach(), torch.autograd.grad(2.5 * loss, (hidden, weight, bias)), z.argmax(1) == targets


def assert_near(ours, expected, tolerance):
    scale = expected.abs().max().clamp(min=1e-30)
    assert ((ours.double() - expected).abs().max() / scale).item() <= tolerance


@pytest.mark.parametrize('terms', [PLAIN, EVERYTHING], ids=['plain', 'everything'])
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize(('tokens', 'positions', 'vocabulary'), SIZES)
def test_values_and_gradients_are_those_of_the_formula(terms, dtype, tokens, positions, vocabulary):
    hidden, weight, bias, rows, targets, weights = problem(tokens, positions, 24, vocabulary, dtype)
    expected, gradients, _ = formula(hidden, weight, bias, rows, targets, weights, terms)
    found = linear_nll(hidden, weight, targets, weights, bias=bias, rows=rows, terms=terms, memory=0)
    ours = torch.autograd.grad(2.5 * found.loss, (hidden, weight, bias))
    assert_near(found.loss, expected, TOLERANCE[dtype])
    for gradient, exact in zip(ours, gradients, strict=True):
        assert gradient.dtype == dtype
        assert_near(gradient, exact, TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_it_is_the_loss_of_transformers(dtype):
    hidden, weight, _, _, _, _ = problem(20, 20, 16, 50, dtype)
    labels = torch.randint(50, (20,))
    labels[::3] = -100
    counted = (labels[1:] != -100).nonzero()[:, 0]  # transformers shifts the labels itself
    plain = ForCausalLMLoss((hidden @ weight.t())[None], labels[None], vocab_size=50)
    plain_gradients = torch.autograd.grad(plain, (hidden, weight))
    found = linear_nll(hidden, weight, labels[1:][counted], torch.ones(len(counted)), rows=counted, memory=0)
    ours = torch.autograd.grad(found.loss / len(counted), (hidden, weight))
    torch.testing.assert_close(found.loss / len(counted), plain)
    for gradient, expected in zip(ours, plain_gradients, strict=True):
        assert_near(gradient, expected.double(), TOLERANCE[dtype])


@pytest.mark.parametrize('terms', [PLAIN, EVERYTHING], ids=['plain', 'everything'])
def test_gradcheck(terms):
    hidden, weight, bias, rows, targets, weights = problem(5, 7, 4, 11, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w, b: linear_nll(h, w, targets, weights, bias=b, rows=rows,
                                                               terms=terms).loss, (hidden, weight, bias))


def test_right_predictions_are_those_of_argmax_and_of_equals_the_first():
    hidden, weight, bias, rows, targets, weights = problem(200, 200, 8, 20, torch.float32)
    _, _, right = formula(hidden, weight, bias, rows, targets, weights, PLAIN)
    assert 0 < right.sum() < 200
    assert torch.equal(linear_nll(hidden, weight, targets, weights, bias=bias, rows=rows).right, right)
    same = torch.zeros(3, 4, dtype=torch.bfloat16)
    tied = linear_nll(same, torch.zeros(6, 4, dtype=torch.bfloat16), torch.tensor([0, 1, 5]), torch.ones(3))
    assert tied.right.tolist() == [True, False, False]
    assert linear_nll(same, same, torch.tensor([0, 1, 2]), torch.ones(3), accuracy=False).right is None


def test_no_trained_token_is_loss_zero_with_gradient_zero():
    hidden, weight, bias, _, _, _ = problem(3, 3, 4, 5, torch.float32)
    nothing = torch.empty(0, dtype=torch.int64)
    found = linear_nll(hidden, weight, nothing, torch.empty(0), bias=bias, rows=nothing)
    assert found.loss.item() == 0 and found.right.shape == (0,)
    for gradient in torch.autograd.grad(found.loss, (hidden, weight, bias)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_rows_that_are_not_listed_get_no_gradient_and_change_nothing():
    hidden, weight, _, _, targets, weights = problem(4, 9, 6, 12, torch.float32)
    rows = torch.tensor([7, 0, 3, 8])
    found = linear_nll(hidden, weight, targets, weights, rows=rows)
    gradient, = torch.autograd.grad(found.loss, hidden)
    assert gradient[rows].abs().amin() > 0
    assert not gradient[[1, 2, 4, 5, 6]].any()
    with torch.no_grad():
        hidden[1] = float('nan')
    assert torch.equal(linear_nll(hidden, weight, targets, weights, rows=rows).loss, found.loss)


def test_what_is_frozen_gets_no_gradient_and_is_not_computed():
    hidden, weight, _, rows, targets, weights = problem(4, 4, 6, 12, torch.float32)
    weight.requires_grad_(False)
    loss = linear_nll(hidden, weight, targets, weights, rows=rows).loss  # torch 2.11 frees what it saved with the loss
    saved = loss.grad_fn.saved_tensors
    assert [None if tensor is None else tuple(tensor.shape) for tensor in saved] == [(4, 6), None, None]
    with torch.no_grad():
        assert not linear_nll(hidden, weight, targets, weights, rows=rows).loss.requires_grad


def test_both_uses_of_a_tied_weight_get_their_gradient():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(30, 8, generator=generator, requires_grad=True)
    ids, targets = torch.tensor([3, 4, 3, 9]), torch.tensor([4, 3, 9, 3])
    plain = torch.nn.functional.cross_entropy(table[ids] @ table.t(), targets, reduction='sum')
    fused = linear_nll(table[ids], table, targets, torch.ones(4)).loss
    expected, = torch.autograd.grad(plain, table)
    ours, = torch.autograd.grad(fused, table)
    torch.testing.assert_close(ours, expected)


def test_under_autocast_it_computes_in_half_precision_and_the_weight_keeps_its_own():
    hidden, weight, _, rows, targets, weights = problem(200, 200, 16, 40, torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        plain = torch.nn.functional.cross_entropy((hidden[rows] @ weight.t()).float(), targets, reduction='none')
        fused = linear_nll(hidden, weight, targets, weights, rows=rows, memory=0).loss
    expected = torch.autograd.grad((plain * weights).sum(), (hidden, weight))
    ours = torch.autograd.grad(fused, (hidden, weight))
    torch.testing.assert_close(fused, (plain * weights).sum())
    for gradient, other in zip(ours, expected, strict=True):
        assert gradient.dtype == torch.float32
        assert_near(gradient, other.double(), 1e-2)


def test_rare_tokens_keep_their_gradient_in_half_precision():
    """In float16 a probability below 6e-8 is zero; the head must not lose it (the plain way, unscaled, does)."""
    hidden = torch.tensor([[1.0]], dtype=torch.float16, requires_grad=True)
    weight = torch.tensor([[8.0], [-8.8]], dtype=torch.float16, requires_grad=True)  # the second has p = 5e-8
    gradient, = torch.autograd.grad(linear_nll(hidden, weight, torch.tensor([0]), torch.ones(1)).loss * 2 ** 12, weight)
    assert gradient[1].item() == pytest.approx(2 ** 12 * 5.06e-8, rel=0.02)


def test_the_sum_over_chunks_is_wide():
    """Four chunks of which each adds 1 to a gradient of about 256: in bfloat16 sums the 1s would be lost."""
    hidden = torch.ones(1024, 1, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    weights = torch.cat([torch.full((128,), 4.0), torch.full((896,), 1 / 64)])  # 256, then 7 x 1
    loss = linear_nll(hidden, weight, torch.zeros(1024, dtype=torch.int64), weights, memory=0).loss
    assert torch.autograd.grad(loss, weight)[0].flatten().tolist() == [-264.0, 264.0]  # 263, rounded once
    narrow = linear_nll(hidden, weight, torch.zeros(1024, dtype=torch.int64), weights, memory=0,
                        weight_grad_dtype=torch.bfloat16).loss
    assert torch.autograd.grad(narrow, weight)[0].flatten().tolist() == [-256.0, 256.0]


def test_what_comes_from_above_is_not_rounded():
    device = 'cuda' if torch.cuda.is_available() else 'cpu'  # only there numbers of no dimension are rounded
    hidden, weight, _, rows, targets, weights = (given.to(device) for given in problem(64, 64, 32, 40, torch.bfloat16))
    loss = linear_nll(hidden, weight, targets, weights, rows=rows).loss
    one, = torch.autograd.grad(loss, hidden, retain_graph=True)
    scaled, = torch.autograd.grad(loss * 1.003, hidden)  # in bfloat16 the factor would be 1
    assert (scaled.double().norm() / one.double().norm()).item() == pytest.approx(1.003, abs=5e-4)


def test_a_second_backward_gives_the_same():
    hidden, weight, _, rows, targets, weights = problem(4, 4, 6, 12, torch.float32)
    loss = linear_nll(hidden, weight, targets, weights, rows=rows).loss
    first, = torch.autograd.grad(3 * loss, hidden, retain_graph=True)
    second, = torch.autograd.grad(3 * loss, hidden)
    assert torch.equal(first, second)


@pytest.mark.parametrize(('change', 'message'), [
    ({'weight': torch.zeros(5, 3)}, r'hidden must be \[M, D\]'),
    ({'targets': torch.zeros(3, dtype=torch.int64)}, r'must be \[2\], got \[3\]'),
    ({'weight': torch.zeros(5, 4, dtype=torch.bfloat16)}, 'without autocast they must be the same')])
def test_what_does_not_fit_is_refused(change, message):
    given = {'hidden': torch.zeros(2, 4), 'weight': torch.zeros(5, 4), 'targets': torch.zeros(2, dtype=torch.int64),
             'weights': torch.ones(2), **change}
    with pytest.raises(ValueError, match=message):
        linear_nll(**given)


@pytest.mark.parametrize('options', [{'softcap': 0.0}, {'label_smoothing': 1.5}])
def test_terms_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match='must be'):
        LossTerms(**options)


# ---- memory

@pytest.mark.parametrize(('width', 'vocabulary'), [(896, 151_936), (1536, 151_936), (3584, 152_064)])
@pytest.mark.parametrize('tokens', [2048, 8192, 32_768])
def test_on_an_accelerator_32k_tokens_by_152k_words_take_less_than_half_a_gigabyte(tokens, width, vocabulary):
    assert buffer_bytes(tokens, tokens, width, vocabulary, torch.bfloat16) < 0.5e9


def test_chunks_are_even_and_as_large_as_the_memory_allows():
    weight = torch.empty(151_936, 896, dtype=torch.bfloat16, device='meta')

    def rows(tokens, memory):
        hidden = torch.empty(tokens, 896, dtype=torch.bfloat16, device='meta')
        return chunk_rows(tokens, hidden, weight, torch.bfloat16, memory)

    assert rows(8192, 2 ** 29) == 1664  # 5 chunks, the last one 1536
    assert rows(8192, 0) == 128
    assert rows(100, 2 ** 29) == 100
    assert rows(0, 2 ** 29) == 1


class Peak(TorchDispatchMode):
    """Largest number of bytes in living tensors that were made inside."""

    def __init__(self):
        super().__init__()
        self.now, self.peak, self.made = 0, 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = {storage._cdata for storage in storages((args, kwargs))}
        result = function(*args, **kwargs)
        for storage in storages(result):
            if storage._cdata not in self.made | given:
                self.made.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.freed, storage._cdata, storage.nbytes())
        return result

    def freed(self, key, size):
        self.made.discard(key)
        self.now -= size


def storages(tree):
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def test_the_peak_is_the_predicted_one_and_far_below_the_plain_way():
    tokens, width, vocabulary, memory = 2048, 64, 8000, 8 * 2 ** 20
    hidden, weight, _, _, targets, weights = problem(tokens, tokens, width, vocabulary, torch.float32)
    weight.requires_grad_(False)

    def plain():
        logits = torch.nn.functional.linear(hidden, weight)
        return (torch.nn.functional.cross_entropy(logits, targets, reduction='none') * weights).sum()

    peaks = []
    for loss_of in (plain, lambda: linear_nll(hidden, weight, targets, weights, memory=memory).loss):
        with Peak() as mode:
            loss_of().backward()
        hidden.grad = None
        peaks.append(mode.peak)
    logits = tokens * vocabulary * 4
    assert peaks[0] >= 2 * logits  # logits, and their gradient
    expected = buffer_bytes(tokens, tokens, width, vocabulary, torch.float32, memory=memory)
    assert expected <= memory + 128 * vocabulary * 4
    assert peaks[1] <= expected + 20 * tokens * 4
    assert peaks[1] < logits / 4
