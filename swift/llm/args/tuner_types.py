"""The tuning methods that the command line knows, and whose flags are whose.

The methods themselves are in ``swift/tuners/methods``; arguments may not import them, so a test compares both. A flag
belongs to the method whose prefix it has; the few that several share are listed with each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Method:
    """What the arguments know of a tuning method.

    Attributes:
        prefix: how the names of its own flags in ``MethodArgs`` begin.
        shared: what it reads of the flags that LoRA has (``TunerArgs``).
        has_targets: it goes on modules that ``--target_modules`` chooses.
        merges: its adapter can become part of the weights.
        needs_padding: rows must not share a line: it adds positions to each, or cuts each by its own length.
        recomputes: activations can be computed again (``--gradient_checkpointing``).
        native: it is ours, not peft's.
    """

    prefix: str
    shared: tuple[str, ...] = ()
    has_targets: bool = True
    merges: bool = True
    needs_padding: bool = False
    recomputes: bool = True
    native: bool = False


LORA_FLAGS = ('lora_rank', 'lora_alpha', 'lora_dropout', 'lora_bias', 'lorap_lr_ratio', 'lorap_emb_lr', 'use_rslora',
              'use_dora', 'init_weights', 'lora_rank_pattern', 'lora_alpha_pattern', 'target_parameters')
METHODS: dict[str, Method] = {
    'lora': Method('lora_', LORA_FLAGS),
    'lora_llm': Method('lora_llm_', LORA_FLAGS),
    'adalora': Method('adalora_', ('lora_alpha', 'lora_dropout', 'lorap_lr_ratio', 'lorap_emb_lr')),
    'ia3': Method('ia3_'),
    'loha': Method('loha_'),
    'lokr': Method('lokr_'),
    'oft': Method('oft_'),
    'boft': Method('boft_'),
    'hra': Method('hra_'),
    'vera': Method('vera_'),
    'randlora': Method('randlora_'),
    'vblora': Method('vblora_'),
    'fourierft': Method('fourier_'),
    'waveft': Method('waveft_'),
    'c3a': Method('c3a_'),
    'miss': Method('miss_', ('lora_rank', 'init_weights')),
    'delora': Method('delora_'),
    'hira': Method('hira_'),
    'gralora': Method('gralora_'),
    'shira': Method('shira_'),
    'road': Method('road_'),
    'ln_tuning': Method('ln_tuning_'),
    **{name: Method(f'{name}_') for name in ('glora', 'deft', 'peanut', 'psoft', 'supertuning', 'tinylora', 'unilora')},
    'beft': Method('beft_', merges=False),
    'longlora': Method('longlora_', ('lora_rank', 'lora_alpha', 'lora_dropout', 'lora_bias', 'lorap_lr_ratio',
                                     'use_rslora'), needs_padding=True),
    'prompt_tuning': Method('prompt_tuning_', has_targets=False, merges=False, needs_padding=True),
    'p_tuning': Method('p_tuning_', has_targets=False, merges=False, needs_padding=True),
    # its keys and values come in through the cache, which transformers empties where it computes activations again
    'prefix_tuning': Method('prefix_tuning_', has_targets=False, merges=False, needs_padding=True, recomputes=False),
    'part': Method('part_', native=True),
    'llamapro': Method('llamapro_', has_targets=False, native=True),
    'reft': Method('reft_', has_targets=False, merges=False, native=True),
    'adapter': Method('adapter_', merges=False, native=True),
    'side': Method('side_', merges=False, native=True),
    'restuning': Method('restuning_', has_targets=False, merges=False, native=True),
}
# how the flags of a start of LoRA begin -> the --init_weights that they are for
STARTS = {'lora_ga_': 'lora-ga', 'eva_': 'eva', 'corda_': 'corda'}
TunerType = Literal[(*METHODS, 'full')]
# Methods that read a frozen weight itself, where a 4-bit one has other sizes and other numbers, or train a copy of it.
NOT_ON_BNB = ('delora', 'hra', 'loha', 'lokr', 'part', 'llamapro', 'glora', 'deft', 'peanut', 'psoft', 'supertuning',
              'tinylora', 'unilora')
# HQQ's layers are another class than torch's, which peft knows with these methods.
ON_HQQ = ('lora', 'lora_llm', 'longlora', 'ln_tuning', 'miss', 'oft', 'boft', 'vera', 'prompt_tuning', 'p_tuning',
          'prefix_tuning', 'adapter', 'side', 'restuning')


def owner(flag: str) -> str | None:
    """The method that a flag of ``MethodArgs`` belongs to, None for any other flag."""
    if start_of(flag):
        return 'lora'
    names = [name for name, method in METHODS.items() if name != 'lora' and flag.startswith(method.prefix)]
    return names[0] if names else None


def start_of(flag: str) -> str | None:
    """The ``--init_weights`` that a flag of ``MethodArgs`` belongs to, None for any other flag."""
    return next((start for prefix, start in STARTS.items() if flag.startswith(prefix)), None)
