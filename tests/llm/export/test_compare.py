from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from swift.llm.export.compare import cut_probes, difference, in_float32, outputs, probe_limit


@pytest.fixture
def llama():
    def make() -> LlamaForCausalLM:
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                                            num_attention_heads=4, num_key_value_heads=2)).eval()
    return make


class Table(nn.Module):
    """A model whose logits at a token are a row of a table."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(rows)

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.table(input_ids))


def test_the_three_numbers_are_those_of_the_formula():
    torch.manual_seed(0)
    one, other = torch.randn(9, 50), torch.randn(9, 50)
    other[3:] = one[3:]
    probes = [[0, 1, 2, 3], [8] * 40, [4]]
    found = difference(outputs(Table(one), probes), Table(other), probes)
    p, q = one[:3].double().softmax(-1), other[:3].double().softmax(-1)
    assert found.positions == 45
    assert found.divergence == pytest.approx(float((p * (p / q).log()).sum()) / 45, rel=1e-12)
    assert found.largest == pytest.approx(float((one - other).abs().max()), rel=1e-6)
    wrong = int((one[:3].argmax(-1) != other[:3].argmax(-1)).sum())
    assert wrong and found.agreement == pytest.approx(1 - wrong / 45)
    assert 'over 45 tokens, logits differ by at most' in str(found)


def test_equal_models_differ_by_nothing_and_nan_is_not_hidden():
    rows = torch.randn(4, 7)
    same = difference(outputs(Table(rows), [[0, 1]]), Table(rows), [[0, 1]])
    assert (same.largest, same.divergence, same.agreement) == (0, 0, 1)
    broken = rows.clone()
    broken[1, 2] = math.nan
    assert math.isnan(difference(outputs(Table(rows), [[0, 1]]), Table(broken), [[0, 1]]).divergence)


def test_probes_fit_into_memory():
    assert probe_limit(151_936) * 151_936 * 4 <= 2**27 and probe_limit(1000) == 256
    rows = [[1] * 200, [], [2] * 100, [3] * 100]
    assert [len(row) for row in cut_probes(rows, 300, longest=128)] == [128, 100, 72]
    assert cut_probes(rows, 20) == [[1] * 20]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_model_of_16_bit_weights_is_run_in_float32_block_by_block(llama, dtype):
    model, ids = llama().to(dtype), torch.arange(12)[None]
    weights = {name: (p, p.data_ptr()) for name, p in model.named_parameters()}
    with torch.no_grad():
        rough, wanted = model(ids).logits, copy.deepcopy(model).float()(ids).logits
        inside = []
        model.model.layers[0].mlp.register_forward_hook(lambda *_: inside.append(
            [{p.dtype for p in layer.parameters()} for layer in model.model.layers]))
        with in_float32(model):
            got = model(ids).logits
        assert got.dtype == torch.float32 and torch.equal(got, wanted)
        assert inside == [[{torch.float32}, {dtype}]], 'one block at a time'
        assert all(p is weights[name][0] and p.data_ptr() == weights[name][1] for name, p in model.named_parameters())
        assert torch.equal(model(ids).logits, rough)


def test_weights_come_back_when_a_forward_fails(llama):
    model = llama().to(torch.bfloat16)
    with pytest.raises(IndexError), in_float32(model):
        model(torch.tensor([[10_000]]))
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
