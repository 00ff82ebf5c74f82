"""Every architecture of transformers that a registered family uses: LoRA, one step, saved, reloaded, merged.

The models are random and tiny. They go through the same functions as ``swift sft``: ``load_model``, ``adapt``, the
collator and the loss of the trainer, ``Swift.save_pretrained`` and ``Swift.merge_and_unload``.
"""

from __future__ import annotations

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from swift.llm.args.groups import ModelArgs, TunerArgs
from swift.llm.model.adapt import adapt
from swift.llm.model.load import LoadedModel, load_model
from swift.llm.model.registry import TRANSFORMERS_NAMES
from swift.llm.template.collate import collate
from swift.trainers.apart import share_a_line
from swift.trainers.batching import forward_takes
from swift.trainers.loss import causal_lm_loss
from swift.tuners.api import Swift
from tests.conformance.architectures import NOT_TRAINED, SAMPLE, implemented
from tests.conformance.tiny import VOCABULARY, tiny_model

IMPLEMENTED = implemented()
TRAINED = [name for name in IMPLEMENTED if name not in NOT_TRAINED]
CASES = [pytest.param(name, id=name, marks=() if name in SAMPLE else pytest.mark.slow) for name in TRAINED]


@pytest.fixture(scope='session')
def words() -> PreTrainedTokenizerFast:
    vocabulary = {f'w{i}': i for i in range(VOCABULARY)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token='w3')),
                                   pad_token='w0', bos_token='w1', eos_token='w2', unk_token='w3')


@pytest.fixture
def folder(request, tmp_path, words):
    """A saved tiny model of the class that the test is called with."""
    name = request.getfixturevalue('name')
    model = tiny_model(vars(transformers).get(name) or getattr(transformers, name), IMPLEMENTED[name][0])
    model.config.architectures = [name]
    model.save_pretrained(tmp_path / 'model')
    words.save_pretrained(tmp_path / 'model')
    return tmp_path / 'model'


def rows(seed: int) -> list[dict[str, object]]:
    """Two rows of 11 and 7 tokens, whose second halves are trained. No special token is in them."""
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(4, 100, (length,), generator=generator).tolist() for length in (11, 7)]
    return [{'input_ids': row, 'weights': [0.0] * 3 + [1.0] * (len(row) - 3)} for row in ids]


def load(folder) -> LoadedModel:
    return load_model(ModelArgs(model=str(folder), torch_dtype='float32'), training=True)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    batch = collate(rows(seed=5)[:1], pad_id=0, padding_free=False)
    return model.eval()(input_ids=batch['input_ids'], attention_mask=batch['attention_mask'], use_cache=False).logits


@pytest.mark.parametrize('name', CASES)
def test_an_architecture_is_trained_saved_reloaded_and_merged(name, folder, tmp_path):
    loaded = load(folder)
    assert type(loaded.model).__name__ == name
    entry = loaded.family
    assert entry is not None and name in {TRANSFORMERS_NAMES.get(a, a) for a in entry.architectures}
    line = share_a_line(loaded.model)
    takes_positions = forward_takes(loaded.model, 'logits_to_keep')
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    model = adapt(loaded.model, TunerArgs(lora_rank=2, lora_dropout=0.0), family=entry)
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert trained and all('lora_' in key for key in trained)
    towers = ('visual', 'vision', 'audio_tower', 'multi_modal_projector', 'mlp1', 'aligner', 'merger', 'resampler')
    assert not [key for key in trained if any(word in key for word in towers)], 'an adapter on more than the language'

    plain = logits(model)
    optimizer = torch.optim.AdamW(trained.values(), lr=0.1)
    batch = collate(rows(seed=1), pad_id=0, padding_free=line.problem is None, documents=line.documents)
    loss = causal_lm_loss(model.train(), batch, head_takes_positions=takes_positions).weighted_nll
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    after = {key.replace('.base_layer', ''): value for key, value in model.get_base_model().state_dict().items()
             if '.lora_' not in key}
    assert after.keys() == before.keys()
    assert all(torch.equal(before[key], after[key]) for key in before), 'a frozen weight changed'

    stepped = logits(model)
    assert torch.isfinite(stepped).all()
    assert not torch.equal(stepped, plain), 'the step changed nothing'
    Swift.save_pretrained(model, tmp_path / 'adapter')
    again = Swift.from_pretrained(load(folder).model, tmp_path / 'adapter')
    assert torch.equal(logits(again), stepped)
    merged = logits(Swift.merge_and_unload(model))
    torch.testing.assert_close(merged, stepped, rtol=1e-4, atol=1e-4 * float(stepped.abs().max()))

