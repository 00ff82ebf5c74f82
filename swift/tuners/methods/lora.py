"""LoRA (Hu et al. 2021) with rsLoRA, DoRA and every way to start that peft has; peft does the work.

``W x + s B A x`` with W [out, in] frozen, A [r, in], B [out, r], s = alpha / r (rsLoRA: alpha / sqrt(r)).
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import LoraConfig


@dataclass(frozen=True)
class LoraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        targets: module names (or their last parts), or one regular expression, as peft takes them.
        modules_to_save: modules trained and saved whole.
        lora_alpha: the adapter is scaled by ``lora_alpha / lora_rank``.
        lora_rank_pattern, lora_alpha_pattern: JSON maps from the ends of module names, as regular expressions, to
            another rank or alpha.
        target_parameters: bare parameters that get an adapter too; they allow no dropout.
        init_weights: true, false, gaussian, orthogonal, mica, loftq (whose caller passes ``weights`` to
            ``Swift.prepare_model``), or a start that ``swift/tuners/starts.py`` tells of.
        lora_ga_direction, lora_ga_scale, lora_ga_stable_gamma: which singular vectors of the gradient A and B start
            from, and how they are scaled.
        eva_rho: ranks go up to ``eva_rho * lora_rank``, the sum of all stays.
        corda_method: ipm adapts the directions that the rows use most, kpm those that they use least.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    lora_rank: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_bias: str = 'none'
    use_rslora: bool = False
    use_dora: bool = False
    init_weights: str = 'true'
    lora_rank_pattern: str | None = None
    lora_alpha_pattern: str | None = None
    target_parameters: list[str] = field(default_factory=list)
    lora_ga_direction: str = 'ArB2r'
    lora_ga_scale: str = 'stable'
    lora_ga_stable_gamma: int = 16
    eva_rho: float = 2.0
    corda_method: str = 'ipm'


def _lora(options: LoraOptions) -> LoraConfig:
    from peft import EvaConfig, LoraGAConfig
    from peft.tuners.lora.config import CordaConfig
    # loftq: swift/tuners/loftq.py fills in the adapter once it is there
    start = {'true': True, 'false': False, 'loftq': True, 'lora-ga': 'lora_ga'}.get(
        options.init_weights, options.init_weights)
    more = {
        'eva': lambda: {'eva_config': EvaConfig(rho=options.eva_rho)},
        'corda': lambda: {'corda_config': CordaConfig(corda_method=options.corda_method)},
        'lora_ga': lambda: {'lora_ga_config': LoraGAConfig(
            direction=options.lora_ga_direction, scale=options.lora_ga_scale,
            stable_gamma=options.lora_ga_stable_gamma)},
    }.get(start, dict)()
    with warnings.catch_warnings():  # peft's own way of saving can't do what swift/tuners/starts.py does
        warnings.filterwarnings('ignore', message='Using Rank-Stabilized LoRA with rank_pattern')
        return _config(options, start, more)


def _config(options: LoraOptions, start: str | bool, more: dict[str, Any]) -> LoraConfig:
    from peft import LoraConfig
    return LoraConfig(
        task_type='CAUSAL_LM', r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout,
        bias=options.lora_bias, target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        use_rslora=options.use_rslora, use_dora=options.use_dora, init_lora_weights=start,
        rank_pattern=json.loads(options.lora_rank_pattern or '{}'),
        alpha_pattern=json.loads(options.lora_alpha_pattern or '{}'),
        target_parameters=options.target_parameters or None, **more)


TUNERS.add(Tuner(name='lora', options=LoraOptions, build=_lora))
# the same on the language model of a model that reads more than text, whose other parts the caller trains whole
TUNERS.add(Tuner(name='lora_llm', options=LoraOptions, build=_lora))
