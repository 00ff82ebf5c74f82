"""Clipping and the check of a step without waiting for the device: torch's numbers, and nothing of a bad step kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

from swift.kernels.adamw import Adam
from swift.llm.args.optimizing import OptimizingArgs
from swift.llm.template.collate import collate
from swift.trainers.adamw import AdamW
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepPlan
from swift.trainers.guard import StepGuard, guard_of
from swift.trainers.loss import causal_lm_loss
from swift.trainers.optimizers import OptimizerPlan
from swift.utils.errors import NonFiniteError
from tests.trainers.test_gradients import Rows

GUARDED = ['adamw_sr', 'adamw_torch_fused']  # with float32 weights nothing of adamw_sr is rounded


def trainer_of(tmp_path, optim, max_steps=3, *, in_backward=False, accumulation=2, **more):
    arguments = {'output_dir': str(tmp_path), 'use_cpu': True, 'max_steps': max_steps, 'max_grad_norm': 0.05,
                 'per_device_train_batch_size': 2, 'gradient_accumulation_steps': accumulation, 'report_to': [],
                 'disable_tqdm': True, 'save_strategy': 'no', 'learning_rate': 1e-3, 'weight_decay': 0.1,
                 'average_tokens_across_devices': False, 'logging_nan_inf_filter': False, 'logging_steps': 1,
                 'optim': optim if optim.startswith('adamw_torch') else 'adamw_torch'} | more
    plan = OptimizerPlan(optim, OptimizingArgs(optimizer_in_backward=in_backward))
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                         num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True))
    return SwiftTrainer(model=model, args=TrainingArguments(**arguments), train_dataset=rows(),
                        plan=StepPlan(2, accumulation), data_seed=0, head_takes_positions=True, optimizer_plan=plan,
                        data_collator=lambda rows: collate(rows, pad_id=2, padding_free=True))


def rows():
    made = Rows(8)
    for row in made.rows:
        row['input_ids'] %= 64
    return made


def weights(trainer):
    return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}


def assert_near(ours, theirs, tolerance=1e-6):
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize('optim', GUARDED)
def test_accumulated_and_clipped_steps_are_those_of_torch(optim, tmp_path):
    usual, guarded = (trainer_of(tmp_path, name) for name in ('adamw_torch', optim))
    for trainer in (usual, guarded):
        trainer.train()
    assert_near(weights(guarded), weights(usual))
    norms = [[row['grad_norm'] for row in trainer.state.log_history if 'grad_norm' in row]
             for trainer in (guarded, usual)]
    assert len(norms[0]) == 3 and min(norms[1]) > 0.05  # every step is clipped
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def spoiled(at_call, what):
    """A loss that is NaN, or has a gradient that is, in one call."""
    calls = iter(range(1000))

    def loss(model, inputs, **kwargs):
        parts = causal_lm_loss(model, inputs, **kwargs)
        if next(calls) != at_call:
            return parts
        if what == 'loss':
            return dataclasses.replace(parts, weighted_nll=parts.weighted_nll * float('nan'))
        parameter = next(model.parameters())
        return dataclasses.replace(parts, weighted_nll=parts.weighted_nll + (parameter.sum() * 0).sqrt())  # 0 * Inf
    return loss


@pytest.mark.parametrize('when', ['saved', 'logged', 'next step', 'end'])
@pytest.mark.parametrize('what', ['loss', 'gradient'])
def test_nothing_of_a_bad_step_is_kept(what, when, tmp_path, monkeypatch):
    options = {'saved': {'save_strategy': 'steps', 'save_steps': 1, 'logging_strategy': 'no'}, 'logged': {},
               'next step': {'logging_strategy': 'no'}, 'end': {'logging_strategy': 'no'}}[when]
    trainer = trainer_of(tmp_path / 'bad', 'adamw_sr', max_steps=3 if when == 'end' else 6,
                         lr_scheduler_type='constant', **options)
    good = trainer_of(tmp_path / 'good', 'adamw_sr', max_steps=2, lr_scheduler_type='constant')
    good.train()
    monkeypatch.setattr('swift.trainers.base.causal_lm_loss', spoiled(5, what))  # in step 3, the second half
    with pytest.raises(NonFiniteError, match=f'(?s)The {what} became nan at step 3; .*nothing of this step is saved'):
        trainer.train()
    assert trainer.state.global_step == 3
    expected = weights(good)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(trainer).items())
    assert not any(row.get('step') == 3 and 'loss' in row for row in trainer.state.log_history)
    if when == 'saved':
        folders = sorted(path.name for path in Path(tmp_path / 'bad').glob('*'))
        assert folders == ['checkpoint-1', 'checkpoint-2']
        saved = load_file(tmp_path / 'bad' / 'checkpoint-2' / 'model.safetensors')
        assert all(torch.equal(tensor, expected[name]) for name, tensor in saved.items())


def test_the_host_looks_a_step_later_and_no_step_is_made_meanwhile():
    parameter = torch.nn.Parameter(torch.ones(5))
    optimizer = AdamW([parameter], lr=0.1)
    guard = StepGuard(optimizer, torch.device('cpu'), max_norm=1.0, world=1)
    parameter.grad = torch.full((5,), float('inf'))
    guard.before_step(torch.tensor([1.0, 2.0]), step=1)  # says nothing yet
    optimizer.step()
    assert torch.equal(parameter, torch.ones(5))
    parameter.grad = torch.ones(5)
    optimizer.step()  # one that nobody has looked at
    assert torch.equal(parameter, torch.ones(5))
    for _ in range(2):
        with pytest.raises(NonFiniteError, match='The gradient became inf at step 1'):
            guard.before_step(torch.tensor([1.0]), step=2)
    assert torch.equal(parameter, torch.ones(5))


def test_only_what_leaves_out_steps_by_itself_is_guarded():
    def made(optimizer_class, **options):
        return optimizer_class([torch.nn.Parameter(torch.ones(2))], lr=0.1, **options)

    for optimizer, is_guarded in ((made(AdamW), True), (made(torch.optim.AdamW, fused=True), True),
                                  (made(torch.optim.AdamW), False), (made(torch.optim.SGD), False),
                                  (made(torch.optim.SGD, fused=True), False)):
        assert (guard_of(optimizer, torch.device('cpu'), 1.0, 1) is not None) == is_guarded


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU: on a CPU nothing is waited for')
@pytest.mark.parametrize('kind', ['ours', 'fused'])
def test_a_step_waits_for_nothing(kind):
    device = torch.device('cuda')
    parameters = [torch.nn.Parameter(torch.randn(50, 40, device=device)) for _ in range(3)]
    optimizer = AdamW(parameters, lr=0.1) if kind == 'ours' else torch.optim.AdamW(parameters, lr=0.1, fused=True)
    guard = StepGuard(optimizer, device, max_norm=1.0, world=1)

    def step(number):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        guard.before_step(torch.ones(2, device=device), number)
        optimizer.step()

    step(1)  # compiles, makes states and tables
    torch.cuda.set_sync_debug_mode('error')
    try:
        step(2)
        step(3)
    finally:
        torch.cuda.set_sync_debug_mode('default')


# ---- in the backward

def test_steps_in_the_backward_are_those_after_it(tmp_path):
    common = {'accumulation': 1, 'max_grad_norm': 0.0}
    usual = trainer_of(tmp_path, 'adamw_sr', **common)
    early = trainer_of(tmp_path, 'adamw_sr', in_backward=True, **common)
    for trainer in (usual, early):
        trainer.train()
    assert all(torch.equal(weight, weights(usual)[name]) for name, weight in weights(early).items())
    norms = [[row['grad_norm'] for row in trainer.state.log_history if 'grad_norm' in row]
             for trainer in (usual, early)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-6) and len(norms[0]) == 3


def test_gradients_are_never_together_in_a_backward_that_steps():
    """Counted at each step: the gradient at hand, and at most that of one more layer."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(32, 32) for _ in range(12)))
    optimizer = AdamW(model.parameters(), lr=0.1, weight_decay=0)
    alive = []
    update = optimizer.update

    def counted(parameter, group):
        alive.append(sum(p.grad is not None for p in model.parameters()))
        update(parameter, group)

    optimizer.update = counted
    handles = optimizer.step_in_backward()
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.randn(4, 32)).sum().backward()
    assert len(alive) == 24 and max(alive) <= 2
    assert all(p.grad is None for p in model.parameters())
    assert not any(torch.equal(old, p) for old, p in zip(before, model.parameters(), strict=True))
    for handle in handles:
        handle.remove()
    model(torch.randn(4, 32)).sum().backward()
    assert sum(p.grad is not None for p in model.parameters()) == 24


def test_a_bad_gradient_ends_the_steps_of_a_backward(tmp_path, monkeypatch):
    trainer = trainer_of(tmp_path, 'adamw_sr', in_backward=True, accumulation=1, max_grad_norm=0.0)
    before = weights(trainer)
    monkeypatch.setattr('swift.trainers.base.causal_lm_loss', spoiled(0, 'loss'))
    with pytest.raises(NonFiniteError, match='The loss became nan at step 1'):
        trainer.train()
    assert all(torch.equal(weight, before[name]) for name, weight in weights(trainer).items())


# ---- state

@pytest.mark.parametrize('state_dtype', [None, torch.bfloat16], ids=str)
def test_a_state_that_was_read_goes_on_to_the_bit(state_dtype):
    def made():
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(300, 20).bfloat16()) for _ in range(2)]
        return parameters, AdamW(parameters, lr=0.01, state_dtype=state_dtype, stochastic=True, seed=3)

    def step(parameters, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            parameter.grad = torch.randn(300, 20, generator=generator).bfloat16()
        optimizer.step()

    parameters, optimizer = made()
    step(parameters, optimizer, 1)
    state, middle = optimizer.state_dict(), [p.detach().clone() for p in parameters]
    state = {'state': {k: {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in s.items()}
                       for k, s in state['state'].items()}, 'param_groups': state['param_groups']}
    step(parameters, optimizer, 2)
    others, other = made()
    with torch.no_grad():
        for parameter, value in zip(others, middle, strict=True):
            parameter.copy_(value)
    other.load_state_dict(state)
    step(others, other, 2)
    for one, two in zip(parameters, others, strict=True):
        assert torch.equal(one, two)
        for name in ('exp_avg', 'exp_avg_sq'):
            assert torch.equal(optimizer.state[one][name], other.state[two][name])
        assert other.state[two]['exp_avg'].dtype == torch.bfloat16 and other.state[two]['step'] == 2


@pytest.mark.parametrize('fused', [False, True])
def test_a_state_of_torch_is_read_and_the_other_way_round(fused):
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(40, generator=generator), torch.randn(3, 40, generator=generator)

    def run(makers):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = None
        for gradient, maker in zip(gradients, makers, strict=True):
            state, optimizer = optimizer and optimizer.state_dict(), maker([parameter])
            if state:
                optimizer.load_state_dict(state)
            parameter.grad = gradient.clone()
            optimizer.step()
        return parameter.detach()

    def ours(parameters):
        return AdamW(parameters, lr=0.1)

    def theirs(parameters):
        return torch.optim.AdamW(parameters, lr=0.1, fused=fused)

    expected = run([theirs] * 3)
    for makers in ([ours, theirs, theirs], [theirs, ours, ours], [ours, theirs, ours]):
        torch.testing.assert_close(run(makers), expected, rtol=1e-6, atol=1e-6)


def test_groups_have_their_own_numbers_and_tensors_their_own_noise():
    parameters = [torch.nn.Parameter(torch.ones(64).bfloat16()) for _ in range(2)]
    optimizer = AdamW([{'params': parameters[:1]}, {'params': parameters[1:], 'lr': 0.0}], lr=1e-3, weight_decay=0,
                      stochastic=True)
    for parameter in parameters:
        parameter.grad = torch.ones(64).bfloat16()
    optimizer.step()
    assert not torch.equal(parameters[0], torch.ones(64)) and torch.equal(parameters[1], torch.ones(64).bfloat16())
    optimizer.param_groups[1]['lr'] = 1e-3
    with torch.no_grad():
        parameters[0].fill_(1)
    optimizer.state.clear()
    optimizer.step()
    assert not torch.equal(*parameters)


def test_numbers_of_a_step():
    adam = Adam(step=2, lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    assert (adam.shrink, adam.step_size, adam.root) == pytest.approx((0.95, 0.1 / 0.19, (1 - 0.99**2) ** 0.5))
