"""Every architecture of transformers that a registered family uses: rows of one line are what they are alone, or why
not.

The rows are longer than the sliding windows of the tiny models, and the oracle is the model as transformers makes it,
one row at a time.
"""

from __future__ import annotations

import pytest
import torch
import transformers

from swift.kernels.varlen import Documents
from swift.llm.model.attention import documents_seen
from swift.trainers.apart import share_a_line
from tests.conformance.architectures import NOT_TRAINED, SAMPLE, implemented
from tests.conformance.tiny import tiny_model

IMPLEMENTED = implemented()
TRAINED = [name for name in IMPLEMENTED if name not in NOT_TRAINED]
NO_POSITIONS = 'its forward takes no position ids'
LINEAR = 'its layers of type linear_attention carry state from row to row'
# rows may not share a line, and what is said of it
PADDED = {
    'BloomForCausalLM': NO_POSITIONS,
    'DeepseekV4ForCausalLM': 'its layers of type compressed_sparse_attention compress keys over the borders of rows',
    'MambaForCausalLM': NO_POSITIONS,
    **dict.fromkeys(('MiniCPMV4_6ForConditionalGeneration', 'NemotronHForCausalLM', 'Qwen3NextForCausalLM',
                     'Qwen3_5ForConditionalGeneration', 'Qwen3_5MoeForConditionalGeneration'), LINEAR),
}
# rows share a line, but by a mask of the whole line, and what is said of it
BY_MASK = {
    **dict.fromkeys(('DeepseekV32ForCausalLM', 'GlmMoeDsaForCausalLM'), 'layers of type indexed_attention attend in a'),
    'Llama4ForConditionalGeneration': 'layers of type chunked_attention attend in a way of their own',
}
LENGTHS = (23, 1, 9, 18)
CASES = [pytest.param(name, id=name, marks=() if name in SAMPLE + ('GptOssForCausalLM', 'Qwen3NextForCausalLM')
                      else pytest.mark.slow) for name in TRAINED]


def outputs(model, ids, positions, weights, **told):
    """Logits [T, V], and the gradients of every parameter of their weighted sum."""
    logits = model(input_ids=ids, position_ids=positions, use_cache=False, **told).logits[0]
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad((logits * weights).sum(), trained.values(), allow_unused=True)
    return logits.detach(), {name: g for name, g in zip(trained, found, strict=True) if g is not None}


def assert_near(ours, expected, what, floor=0.0):
    """To 2e-5 of the largest number; what is below ``floor`` is rounding itself."""
    scale = expected.abs().max().clamp(min=max(floor, 1e-30))
    assert ((ours - expected).abs().max() / scale).item() < 2e-5, what


@pytest.mark.parametrize('name', CASES)
def test_rows_in_one_line_are_what_they_are_alone(name):
    model = tiny_model(vars(transformers).get(name) or getattr(transformers, name), IMPLEMENTED[name][0])
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(4, 100, (1, n), generator=generator) for n in LENGTHS]
    positions = [torch.arange(n)[None] for n in LENGTHS]
    if name in PADDED:
        found = share_a_line(model)
        assert found.problem is not None and PADDED[name] in found.problem
        return

    weights = [torch.randn(n, 1, generator=generator) for n in LENGTHS]
    alone = [outputs(model, *one) for one in zip(rows, positions, weights, strict=True)]
    found = share_a_line(model)
    assert found.problem is None
    if name in BY_MASK:
        assert not found.documents and BY_MASK[name] in found.remark
    else:
        assert found.documents, found.remark
    told = documents_seen(Documents.of(LENGTHS)) if found.documents else {}
    logits, gradients = outputs(model, torch.cat(rows, 1), torch.cat(positions, 1), torch.cat(weights), **told)
    for number, (ours, (expected, _)) in enumerate(zip(logits.split(LENGTHS), alone, strict=True)):
        assert_near(ours, expected, f'logits of row {number}')
    expected = {key: sum(row.get(key, torch.zeros(())) for _, row in alone) for key in gradients}
    floor = 1e-4 * max(gradient.abs().max().item() for gradient in expected.values())
    for key, gradient in gradients.items():
        assert_near(gradient, expected[key], key, floor)


def test_the_tables_name_architectures_that_are_there():
    assert (PADDED.keys() | BY_MASK.keys()) <= set(TRAINED)
