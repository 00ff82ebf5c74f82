"""Which parts of a model that sees are trained: by flags, by LoRA on the language model beside towers trained whole."""

from __future__ import annotations

import pytest
import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from swift.llm.args.groups import TunerArgs
from swift.llm.model.adapt import adapt
from swift.llm.model.parts import modules_of, part_of
from swift.llm.model.registry import MODELS
from swift.tuners.api import Swift
from swift.utils.errors import UsageError

FAMILY = MODELS.get('llava1_5_hf')
LLM, AHEAD, TOWER = 'model.language_model', 'model.multi_modal_projector', 'model.vision_tower'
IMAGE = {'input_ids': torch.tensor([[1, 63, 63, 63, 63, 2, 3]]),
         'pixel_values': torch.rand(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))}


def seeing() -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    text = {'model_type': 'llama', 'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2,
            'num_attention_heads': 2, 'num_key_value_heads': 2, 'vocab_size': 64}
    vision = {'model_type': 'clip_vision_model', 'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2,
              'num_attention_heads': 2, 'image_size': 28, 'patch_size': 14}
    return LlavaForConditionalGeneration(LlavaConfig(text_config=text, vision_config=vision, image_token_index=63,
                                                     vision_feature_layer=-1)).eval()


def trained_parts(model) -> set[str]:
    names = (name.removeprefix('base_model.model.') for name, p in model.named_parameters() if p.requires_grad)
    return {next(part for part in (LLM, AHEAD, TOWER, 'lm_head') if name.startswith(part)) for name in names}


@pytest.mark.parametrize('flags, parts', [
    ({}, [LLM]),
    ({'freeze_vit': False}, [LLM, TOWER]),
    ({'freeze_aligner': False}, [LLM, AHEAD]),
    ({'freeze_llm': True, 'freeze_aligner': False}, [AHEAD]),
    ({'freeze_llm': True, 'freeze_vit': False, 'freeze_aligner': False}, [AHEAD, TOWER]),
    ({'freeze_vit': False, 'freeze_aligner': False}, [LLM, AHEAD, TOWER])], ids=str)
@pytest.mark.parametrize('tuner', ['lora', 'full', 'ia3'])
def test_flags_say_which_parts_learn(tuner, flags, parts):
    model = adapt(seeing(), TunerArgs(tuner_type=tuner, **flags), family=FAMILY)
    head = {'lm_head'} if tuner == 'full' and LLM in parts else set()
    assert trained_parts(model) == {*parts, *head}


def test_every_linear_layer_of_the_parts():
    model = adapt(seeing(), TunerArgs(target_modules=['ALL'], freeze_llm=True, freeze_vit=False), family=FAMILY)
    assert trained_parts(model) == {TOWER}


def test_parts_that_are_not_there():
    with pytest.raises(UsageError, match='--freeze_aligner false: nothing is known of such a part in this LlavaFor.*'
                                         'it has llm, vit'):
        adapt(seeing(), TunerArgs(freeze_aligner=False))
    with pytest.raises(UsageError, match='--freeze_llm true leaves no layer.* these parts: aligner, llm, vit'):
        adapt(seeing(), TunerArgs(freeze_llm=True), family=FAMILY)


def test_an_aligner_inside_a_tower_is_its_own_part():
    family = MODELS.get('qwen2_vl')
    tell = part_of(torch.nn.Module(), family)
    assert [tell(name) for name in ('model.visual.merger.mlp', 'model.visual.blocks.0', 'model.language_model.x')] == [
        'aligner', 'vit', 'llm']


def test_towers_trained_whole_beside_a_lora_on_the_language_model(tmp_path):
    model = adapt(seeing(), TunerArgs(tuner_type='lora_llm', lora_rank=2, lora_dropout=0), family=FAMILY)
    trained = [name.removeprefix('base_model.model.') for name, p in model.named_parameters() if p.requires_grad]
    assert all(('.lora_' in name) == name.startswith(LLM) for name in trained)
    assert trained_parts(model) == {LLM, AHEAD, TOWER}
    assert modules_of(seeing(), FAMILY, {'vit', 'aligner'}) == [TOWER, AHEAD]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(**IMAGE, labels=IMAGE['input_ids'].masked_fill(IMAGE['input_ids'] == 63, -100)).loss
        loss.backward()
        assert any(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if TOWER in name)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    with torch.no_grad():
        wanted = model.eval()(**IMAGE).logits
        Swift.save_pretrained(model, tmp_path)
        loaded = Swift.from_pretrained(seeing(), tmp_path).eval()
        assert torch.equal(loaded(**IMAGE).logits, wanted)
        merged = Swift.merge_and_unload(loaded)
        torch.testing.assert_close(merged(**IMAGE).logits, wanted, atol=1e-5, rtol=0)
    assert merged.state_dict().keys() == seeing().state_dict().keys()
