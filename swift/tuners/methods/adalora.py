"""AdaLoRA (Zhang et al. 2023): a LoRA in the form of an SVD whose ranks are pruned while it trains.

``W + (alpha / r0) B diag(e) A`` with A [r0, in], e [r0], B [out, r0]; e starts at zero. The loss gets
``w * mean(|A A^T - I|, |B^T B - I|)`` over all layers (Frobenius norms), so that the ranks mean something, and between
the first ``tinit`` and the last ``tfinal`` steps the least important entries of e are set to zero, down to an average
of ``target_r`` a layer. Importance is |weight * gradient|, smoothed (beta1) and with its uncertainty (beta2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift.tuners.registry import TUNERS, Tuner
from swift.utils.errors import UsageError

if TYPE_CHECKING:
    from peft import AdaLoraConfig, PeftModel
    from torch import Tensor


@dataclass(frozen=True)
class AdaloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        adalora_target_r: average rank of a layer at the end.
        adalora_init_r: rank of every layer at the start.
        adalora_tinit: steps before anything is pruned.
        adalora_tfinal: steps at the end in which the ranks stay.
        adalora_deltaT: steps between two prunings.
        adalora_orth_reg_weight: w.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    adalora_target_r: int = 8
    adalora_init_r: int = 12
    adalora_tinit: int = 0
    adalora_tfinal: int = 0
    adalora_deltaT: int = 1
    adalora_beta1: float = 0.85
    adalora_beta2: float = 0.85
    adalora_orth_reg_weight: float = 0.5


def _adalora(options: AdaloraOptions) -> AdaLoraConfig:
    from peft import AdaLoraConfig
    return AdaLoraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout, target_r=options.adalora_target_r,
        init_r=options.adalora_init_r, tinit=options.adalora_tinit, tfinal=options.adalora_tfinal,
        deltaT=options.adalora_deltaT, beta1=options.adalora_beta1, beta2=options.adalora_beta2,
        orth_reg_weight=options.adalora_orth_reg_weight,
        # peft wants a number now; how many steps there are is known when training begins, see RankSchedule.begin
        total_step=options.adalora_tinit + options.adalora_tfinal + 1)


class RankSchedule:
    """Prunes the ranks of an AdaLoRA model, and keeps its weights orthogonal. A :class:`StepHook`.

    Which ranks are left is kept here and not in the adapter's configuration, where peft would cut the pruned ones off
    when it saves: tensors that keep their shapes can go on exactly where they were, with the optimizer's moments.
    """

    def __init__(self, model: PeftModel) -> None:
        self._tuner = model.base_model
        self._name = self._tuner.trainable_adapter_name
        self._config = model.peft_config[self._name]
        self._ranks: dict[str, list[bool]] | None = None

    def begin(self, total_steps: int) -> None:
        first, last = self._config.tinit, self._config.tfinal
        if total_steps - last <= max(first, 1):
            raise UsageError(f'--adalora_tinit {first} and --adalora_tfinal {last} leave no step to choose ranks in: '
                             f'the run has {total_steps}. Lower them, or train longer (--num_train_epochs, '
                             '--max_steps).')
        self._config.total_step = total_steps

    def penalty(self) -> Tensor:
        import torch
        matrices = [parameter.T if 'lora_B' in name else parameter
                    for name, parameter in self._tuner.model.named_parameters()
                    if self._name in name.split('.') and ('lora_A' in name or 'lora_B' in name)]
        with torch.autocast(matrices[0].device.type, enabled=False):  # norms of differences from 1 need fp32
            norms = [torch.linalg.matrix_norm(one.float() @ one.float().T - torch.eye(len(one), device=one.device))
                     for one in matrices]
            return self._config.orth_reg_weight * torch.stack([norm.to(norms[0].device) for norm in norms]).mean()

    def after_optimizer(self, step: int) -> None:
        self._config.rank_pattern = self._ranks
        self._tuner.update_and_allocate(step)
        self._ranks, self._config.rank_pattern = self._config.rank_pattern, None

    def state_dict(self) -> dict[str, Any]:
        allocator = self._tuner.rankallocator
        return {'ranks': self._ranks, 'importance': allocator.ipt, 'mean_importance': allocator.exp_avg_ipt,
                'uncertainty': allocator.exp_avg_unc}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        allocator, places = self._tuner.rankallocator, dict(self._tuner.model.named_parameters())
        self._ranks = state['ranks']
        allocator.ipt, allocator.exp_avg_ipt, allocator.exp_avg_unc = (
            {name: tensor.to(places[name].device) for name, tensor in state[kind].items()}
            for kind in ('importance', 'mean_importance', 'uncertainty'))


TUNERS.add(Tuner(name='adalora', options=AdaloraOptions, build=_adalora, hook=RankSchedule))
