"""LoRA (Hu et al. 2021) with rsLoRA, DoRA and every way to start that peft has; peft does the work.

``W x + s B A x`` with W [out, in] frozen, A [r, in], B [out, r], s = alpha / r (rsLoRA: alpha / sqrt(r)).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
        init_weights: true, false, gaussian, orthogonal, mica, pissa, pissa_niter_N or olora.
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


def _lora(options: LoraOptions) -> LoraConfig:
    from peft import LoraConfig
    start = {'true': True, 'false': False}.get(options.init_weights, options.init_weights)
    return LoraConfig(
        task_type='CAUSAL_LM', r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout,
        bias=options.lora_bias, target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        use_rslora=options.use_rslora, use_dora=options.use_dora, init_lora_weights=start,
        rank_pattern=json.loads(options.lora_rank_pattern or '{}'),
        alpha_pattern=json.loads(options.lora_alpha_pattern or '{}'),
        target_parameters=options.target_parameters or None)


TUNERS.add(Tuner(name='lora', options=LoraOptions, build=_lora))
