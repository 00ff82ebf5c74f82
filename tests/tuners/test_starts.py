"""Starts of LoRA that are computed: what they do to the base is not the user's to keep, and runs go on exactly."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from peft import EvaConfig, LoraGAConfig, PeftModel, get_peft_model
from peft.tuners.lora.config import CordaConfig
from safetensors.torch import load_file, save_file

from swift.tuners import starts
from swift.tuners.api import LoraConfig, Swift
from swift.tuners.starts import config_to_resume, resume
from swift.utils.errors import UsageError

IDS = torch.arange(24).view(2, 12)
CHANGING = ['pissa', 'pissa_niter_4', 'olora', 'corda', 'lora_ga']


def batches(number: int = 4, rows: int = 1) -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(0, 128, (number, rows, 40), generator=torch.Generator().manual_seed(1))
    return [{'input_ids': one, 'labels': one} for one in ids]


def config(start: str, **more) -> LoraConfig:
    own = {'corda': {'corda_config': CordaConfig()}, 'lora_ga': {'lora_ga_config': LoraGAConfig()},
           'eva': {'eva_config': EvaConfig()}}.get(start, {})
    return LoraConfig(**{'task_type': 'CAUSAL_LM', 'r': 4, 'lora_alpha': 8, 'init_lora_weights': start,
                         'target_modules': ['q_proj', 'v_proj', 'up_proj'], **own, **more})


def prepared(llama, start: str, **more):
    torch.manual_seed(3)
    return Swift.prepare_model(llama(), config(start, **more), batches=batches())


def train(model, steps: int = 3, optimizer=None):
    optimizer = optimizer or torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    return optimizer


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(IDS).logits


@pytest.mark.parametrize('start', [*CHANGING, 'eva'])
def test_begins_as_the_base_model_and_away_from_a_plain_start(llama, start):
    model = prepared(llama, start)
    torch.testing.assert_close(logits(model), logits(llama()), atol=2e-5, rtol=0)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    changed = not torch.equal(layer.base_layer.weight, llama().model.layers[0].self_attn.q_proj.weight)
    assert changed == (start != 'eva')
    assert (layer.lora_B['default'].weight.abs().max() > 0) == (start != 'eva')


@pytest.mark.parametrize('more', [{}, {'use_rslora': True, 'rank_pattern': {'up_proj': 6}}, {'use_dora': True},
                                  {'target_modules': ['embed_tokens', 'q_proj'], 'modules_to_save': ['norm']}], ids=str)
@pytest.mark.parametrize('start', ['pissa_niter_4', 'olora'])
def test_what_is_saved_is_plain_lora_for_the_base_as_it_was(llama, tmp_path, start, more):
    model = prepared(llama, start, **more)
    train(model)
    Swift.save_pretrained(model, tmp_path)
    saved = json.loads((tmp_path / 'adapter_config.json').read_text())
    assert saved['init_lora_weights'] is True and saved['r'] == 8
    torch.manual_seed(99)  # nothing random may be needed to load
    torch.testing.assert_close(logits(Swift.from_pretrained(llama(), tmp_path)), logits(model), atol=2e-5, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        plain = PeftModel.from_pretrained(llama(), str(tmp_path))
    torch.testing.assert_close(logits(plain), logits(model), atol=2e-5, rtol=0)
    torch.testing.assert_close(logits(Swift.merge_and_unload(plain)), logits(model), atol=2e-5, rtol=0)
    assert torch.equal(logits(model), logits(model)) and Swift.save_pretrained(model, tmp_path) is None, 'saved again'
    assert json.loads((tmp_path / 'adapter_config.json').read_text()) == saved


def test_the_conversion_is_that_of_peft(llama, tmp_path):
    """peft does the same where it is told a folder with the initial adapter."""
    torch.manual_seed(3)
    model = get_peft_model(llama(), config('pissa'))
    model.peft_config['default'].init_lora_weights = True
    model.save_pretrained(tmp_path / 'initial')
    model.peft_config['default'].init_lora_weights = 'pissa'
    train(model)
    model.save_pretrained(tmp_path / 'peft', path_initial_model_for_weight_conversion=str(tmp_path / 'initial'))
    ours = prepared(llama, 'pissa')
    train(ours)
    Swift.save_pretrained(ours, tmp_path / 'ours')
    wanted, got = (load_file(tmp_path / name / 'adapter_model.safetensors') for name in ('peft', 'ours'))
    assert wanted.keys() == got.keys() and all(torch.equal(wanted[name], got[name]) for name in wanted)


_CHILD = '''
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM
from swift.tuners import starts
from swift.tuners.api import Swift

root = Path(sys.argv[1])
ids = torch.arange(24).view(2, 12)
for folder in sorted(root.glob('adapter-*')):
    model = Swift.from_pretrained(LlamaForCausalLM.from_pretrained(root / 'base').eval(), folder).eval()
    with torch.no_grad():
        apart = (model(ids).logits - load_file(folder / 'logits.safetensors')['logits']).abs().max().item()
    print(folder.name.removeprefix('adapter-'), apart < (1e-6 if folder.name.endswith('eva') else 2e-5))
'''


@pytest.mark.slow
def test_every_start_loads_on_the_original_base_in_a_fresh_process(llama, tmp_path):
    llama().save_pretrained(tmp_path / 'base')
    for start in [*CHANGING, 'eva']:
        model = prepared(llama, start)
        train(model)
        Swift.save_pretrained(model, tmp_path / f'adapter-{start}')
        save_file({'logits': logits(model)}, tmp_path / f'adapter-{start}' / 'logits.safetensors')
    child = subprocess.run([sys.executable, '-W', 'ignore', '-c', _CHILD, str(tmp_path)], capture_output=True,
                           text=True, timeout=600, cwd=Path(__file__).parents[2])
    assert child.returncode == 0, child.stderr
    assert child.stdout.split('\n')[:-1] == [f'{start} True' for start in sorted([*CHANGING, 'eva'])]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('start', CHANGING)
def test_going_on_is_bit_equal(llama, tmp_path, start, dtype):
    torch.manual_seed(3)
    model = Swift.prepare_model(llama().to(dtype), config(start), batches=batches())
    optimizer = train(model)
    Swift.save_pretrained(model, tmp_path)
    moments = copy.deepcopy(optimizer.state_dict())

    again = Swift.prepare_model(llama().to(dtype), config_to_resume(config(start), tmp_path))
    assert resume(again, tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    other = torch.optim.AdamW([p for p in again.parameters() if p.requires_grad], lr=0.01)
    other.load_state_dict(moments)
    train(again, optimizer=other)
    train(model, optimizer=optimizer)
    assert torch.equal(logits(again), logits(model))
    Swift.save_pretrained(model, tmp_path / 'one')
    Swift.save_pretrained(again, tmp_path / 'other')
    one, two = (load_file(tmp_path / name / 'adapter_model.safetensors') for name in ('one', 'other'))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize('start', CHANGING)
def test_a_half_precision_base_is_met_to_its_own_rounding(llama, tmp_path, start):
    base = logits(llama().to(torch.bfloat16))
    torch.manual_seed(3)
    model = Swift.prepare_model(llama().to(torch.bfloat16), config(start), batches=batches())
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    weight = llama().to(torch.bfloat16).model.layers[0].self_attn.q_proj.weight.float()
    change = 2 * layer.lora_B['default'].weight @ layer.lora_A['default'].weight
    assert torch.equal(layer.base_layer.weight, (weight - change).to(torch.bfloat16))
    assert (logits(model) - base).abs().max() < 0.05 * base.abs().max()
    train(model)
    Swift.save_pretrained(model, tmp_path)
    loaded = logits(Swift.from_pretrained(llama().to(torch.bfloat16), tmp_path))
    assert (loaded - logits(model)).abs().max() < 0.05 * base.abs().max()


def test_eva_moves_ranks_and_they_stay_when_going_on(llama, tmp_path):
    more = {'target_modules': ['o_proj', 'down_proj']}
    model = prepared(llama, 'eva', **more)
    ranks = {name: layer.r['default'] for name, layer in model.named_modules() if name.endswith('_proj')
             and 'default' in vars(layer).get('r', {})}
    assert len(set(ranks.values())) > 1 and sum(ranks.values()) == 4 * 4 and max(ranks.values()) <= 8
    Swift.save_pretrained(model, tmp_path)
    again = Swift.prepare_model(llama(), config_to_resume(config('eva', **more), tmp_path))
    assert not resume(again, tmp_path), 'peft loads it as it is'
    assert {name: p.shape for name, p in again.named_parameters()} == {
        name: p.shape for name, p in model.named_parameters()}


def test_an_adapter_under_a_name_that_was_used_is_saved_as_it_is(llama, tmp_path):
    model = prepared(llama, 'pissa')
    model.add_adapter('other', config(True))
    model.delete_adapter('default')
    model.add_adapter('default', config(True))
    Swift.save_pretrained(model, tmp_path)
    assert json.loads((tmp_path / 'adapter_config.json').read_text())['r'] == 4


def test_quantised_weights_are_not_changed(llama):
    model = llama()
    model.model.layers[0].self_attn.q_proj.weight = torch.nn.Parameter(
        torch.zeros(64, 64, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(UsageError, match=r'The start olora changes the frozen weights, and .*q_proj is quantised'):
        Swift.prepare_model(model, config('olora'))


def test_lora_ga_is_the_svd_of_the_gradient(llama):
    """Against the paper's formula: A from the first r right singular vectors, B from the next left ones."""
    base, data = llama(), batches()
    weight = base.model.layers[1].self_attn.v_proj.weight
    for batch in data:
        base(**batch).loss.backward()
    u, s, vh = torch.linalg.svd(weight.grad / len(data), full_matrices=False)
    layer = prepared(llama, 'lora_ga').base_model.model.model.layers[1].self_attn.v_proj
    a, b = layer.lora_A['default'].weight, layer.lora_B['default'].weight
    torch.testing.assert_close((a @ vh[:4].T).abs().diagonal(), torch.ones(4), atol=1e-3, rtol=0)
    scale = weight.shape[0] ** 0.25 / 4
    torch.testing.assert_close((u[:, 4:8].T @ b).abs().diagonal(), s[4:8] * scale, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize('method', ['ipm', 'kpm'])
def test_corda_is_the_svd_of_the_weight_seen_through_its_inputs(llama, method):
    """Against the paper's formula in float64; a row beside a longer one, whose padding must not count."""
    base, inputs = llama(), []
    base.model.layers[1].self_attn.v_proj.register_forward_pre_hook(lambda _, x: inputs.append(x[0].double()))
    short, long = batches(2)
    with torch.no_grad():
        base(short['input_ids'][:, :30]), base(long['input_ids'])
    padded = {'input_ids': torch.cat([short['input_ids'], long['input_ids']]),
              'attention_mask': torch.tensor([[1] * 30 + [0] * 10, [1] * 40])}
    model = Swift.prepare_model(llama(), config('corda', corda_config=CordaConfig(corda_method=method)),
                                batches=[padded])
    layer = model.base_model.model.model.layers[1].self_attn.v_proj
    x = torch.cat([one.flatten(0, 1) for one in inputs])
    x = x / x.max()
    c = x.T @ x
    c += 0.01 * c.diag().mean() * torch.eye(len(c))
    u, s, vh = torch.linalg.svd(base.model.layers[1].self_attn.v_proj.weight.double() @ c, full_matrices=False)
    chosen = slice(0, 4) if method == 'ipm' else slice(-4, None)
    wanted = u[:, chosen] * s[chosen] @ vh[chosen] @ torch.linalg.inv(c)
    got = 2 * layer.lora_B['default'].weight @ layer.lora_A['default'].weight
    torch.testing.assert_close(got.double(), wanted, atol=1e-3 * wanted.abs().max().item(), rtol=0)


def test_starts_that_look_at_data_say_so_without_any(llama, monkeypatch):
    for start in ('eva', 'corda', 'lora_ga'):
        with pytest.raises(UsageError, match=f'The start {start} .*batches'):
            Swift.prepare_model(llama(), config(start))
    few = [{name: tensor[:, :6] for name, tensor in batch.items()} for batch in batches()]
    with pytest.raises(UsageError, match='eva needs batches with at least 8 trained tokens'):
        Swift.prepare_model(llama(), config('eva'), batches=few)
    monkeypatch.setattr(starts, '_EVA_PASSES', 0)
    with pytest.raises(UsageError, match='eva did not settle in 0 passes over 4 batches'):
        Swift.prepare_model(llama(), config('eva'), batches=batches())
