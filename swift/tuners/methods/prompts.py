"""Prompt tuning, p-tuning and prefix tuning: the model is frozen, v trained positions stand in front of each row.

Shapes: v virtual tokens, width D, L layers, keys and values of K heads of size d. None starts as the base model, none
can be merged into weights.

Prompt tuning (Lester, Al-Rfou, Constant 2021): embeddings P [v, D] in front of those of the row. They start as
embeddings of words, which the paper found to be better than random ones.

P-tuning (Liu et al. 2021, "GPT Understands, Too"): P = f(E), E [v, D] and an MLP of three layers or a bidirectional
LSTM with an MLP f; what is saved is P.

Prefix tuning (Li, Liang 2021): keys and values [L, 2, K, v, d] of every layer, which rows attend to. With the
projection they are ``W2 tanh(W1 E)``, E [v, K d], W1 to ``hidden_size``; what is saved are the keys and values.
P-tuning v2 (Liu et al. 2022) is this method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig


@dataclass(frozen=True)
class PromptTuningOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        tokenizer: folder of the tokenizer that cuts ``prompt_tuning_init_text`` into words.
        prompt_tuning_init: sample_vocab (random words), random, or text.
        prompt_tuning_init_text: repeated or cut to v tokens.
    """

    tokenizer: str
    modules_to_save: list[str]
    prompt_tuning_virtual_tokens: int = 20
    prompt_tuning_init: str = 'sample_vocab'
    prompt_tuning_init_text: str | None = None


def _prompt_tuning(options: PromptTuningOptions) -> PromptTuningConfig:
    from peft import PromptTuningConfig
    by_text = options.prompt_tuning_init == 'text'
    return PromptTuningConfig(
        task_type='CAUSAL_LM', modules_to_save=options.modules_to_save or None,
        num_virtual_tokens=options.prompt_tuning_virtual_tokens, prompt_tuning_init=options.prompt_tuning_init.upper(),
        prompt_tuning_init_text=options.prompt_tuning_init_text,
        tokenizer_name_or_path=options.tokenizer if by_text else None)


@dataclass(frozen=True)
class PTuningOptions:
    """Every field but the first has the name of its flag.

    Attributes:
        p_tuning_encoder: mlp or lstm.
        p_tuning_hidden_size: width inside it; None takes that of the model.
        p_tuning_num_layers, p_tuning_dropout: of the LSTM.
    """

    modules_to_save: list[str]
    p_tuning_virtual_tokens: int = 20
    p_tuning_encoder: str = 'mlp'
    p_tuning_hidden_size: int | None = None
    p_tuning_num_layers: int = 2
    p_tuning_dropout: float = 0.0


def _p_tuning(options: PTuningOptions) -> PromptEncoderConfig:
    from peft import PromptEncoderConfig
    return PromptEncoderConfig(
        task_type='CAUSAL_LM', modules_to_save=options.modules_to_save or None,
        num_virtual_tokens=options.p_tuning_virtual_tokens,
        encoder_reparameterization_type=options.p_tuning_encoder.upper(),
        encoder_hidden_size=options.p_tuning_hidden_size, encoder_num_layers=options.p_tuning_num_layers,
        encoder_dropout=options.p_tuning_dropout)


@dataclass(frozen=True)
class PrefixTuningOptions:
    """Every field but the first has the name of its flag.

    Attributes:
        prefix_tuning_projection: train a small network whose outputs are the keys and values.
        prefix_tuning_hidden_size: its inner width.
    """

    modules_to_save: list[str]
    prefix_tuning_virtual_tokens: int = 20
    prefix_tuning_projection: bool = True
    prefix_tuning_hidden_size: int = 512


def _prefix_tuning(options: PrefixTuningOptions) -> PrefixTuningConfig:
    from peft import PrefixTuningConfig
    return PrefixTuningConfig(
        task_type='CAUSAL_LM', modules_to_save=options.modules_to_save or None,
        num_virtual_tokens=options.prefix_tuning_virtual_tokens, prefix_projection=options.prefix_tuning_projection,
        encoder_hidden_size=options.prefix_tuning_hidden_size)


TUNERS.add(Tuner(name='prompt_tuning', options=PromptTuningOptions, build=_prompt_tuning))
TUNERS.add(Tuner(name='p_tuning', options=PTuningOptions, build=_p_tuning))
TUNERS.add(Tuner(name='prefix_tuning', options=PrefixTuningOptions, build=_prefix_tuning))
