"""LongLoRA (Chen et al. 2023): LoRA, whole embeddings and normalisations, and shifted sparse attention while training.

In training a row of n tokens is cut into groups of ``g = ceil(ratio * n)`` and a token attends to those before it in
its own group only, which makes the cost of attention a fraction of it. In the second half of the heads all borders lie
``g // 2`` later, so that what one half cuts the other connects. In evaluation and generation attention is the plain
one: what was learnt is an ordinary adapter.

Two things are as in the published code's kernel for padded rows, and not as in its plain one: a row is cut by its own
length and not by that of its batch; and in the shifted heads the first ``g // 2`` tokens are a group of their own
instead of going round to the last ones, where they would see the end of the row that they are to predict.

Shapes: B rows, T positions, H heads, d the size of one; w = ceil(ratio * T) slots a group, G groups.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from swift.tuners.registry import TUNERS, Tuner
from swift.utils.errors import UsageError

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LongloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        modules_to_save: with the embeddings and normalisations among them.
        longlora_group_size_ratio: size of a group over the length of its row.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    lora_rank: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_bias: str = 'none'
    use_rslora: bool = False
    longlora_group_size_ratio: float = 0.25


def _longlora(options: LongloraOptions) -> LoraConfig:
    from peft import LoraConfig
    return LoraConfig(
        task_type='CAUSAL_LM', r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout,
        bias=options.lora_bias, target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        use_rslora=options.use_rslora)


def train_with_shifted_groups(model: PreTrainedModel, ratio: float = 0.25) -> None:
    """Let a model of transformers attend within shifted groups while it is in training mode.

    Rows must not share a line. The choice is a name in the model's config that is never saved.

    Raises:
        UsageError: the model has attention of its own, which can't be chosen by name.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    name = f'longlora_{ratio:g}'
    AttentionInterface.register(name, functools.partial(shifted_group_attention, ratio=ratio))
    AttentionMaskInterface.register(name, sdpa_mask)
    model.set_attn_implementation(name)
    if model.config.get_text_config()._attn_implementation != name:
        raise UsageError(f'--tuner_type longlora: {type(model).__name__} does not let its attention be chosen; use '
                         'lora.')


def shifted_group_attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
                            *, ratio: float, dropout: float = 0.0, scaling: float | None = None,
                            is_causal: bool | None = None, **kwargs: Any) -> tuple[Tensor, None]:
    """An attention function as transformers calls it.

    Args:
        module: the attention layer; out of training, or where it is not causal, the plain function is used.
        query: [B, H, T, d].
        key, value: [B, K, T, d], H a multiple of K.
        attention_mask: [B, 1, T, T], True (or 0) where a token may be seen; None where no row is padded.
        ratio: size of a group over the length of its row.

    Returns:
        [B, T, H, d], and None for the weights. What stands at padded positions means nothing.

    Raises:
        UsageError: the layer attends in a way that groups do not have.
    """
    causal = vars(module).get('is_causal', True) if is_causal is None else is_causal
    if not (module.training and causal and query.shape[2] == key.shape[2]):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling,
                                      is_causal=is_causal, **kwargs)
    length = query.shape[2]
    width = max(math.ceil(length * ratio), 1)
    _check_plain(module, kwargs, width)
    start, lengths = _extents(attention_mask, query)
    size = torch.ceil(lengths.double() * ratio).long().clamp(1, width)  # [B]
    repeats, shifted_from = query.shape[1] // key.shape[1], query.shape[1] // 2
    key, value = (x.repeat_interleave(repeats, 1) if repeats > 1 else x for x in (key, value))
    halves = []
    for heads, border in ((slice(None, shifted_from), torch.zeros_like(size)), (slice(shifted_from, None), size // 2)):
        groups = math.ceil(1 / ratio) + (1 if heads.start else 0)
        source, place = _slots(start, size, border, length=length, groups=groups, width=width)
        q, k, v = (_pick(x[:, heads], source).unflatten(2, (groups, width)).flatten(1, 2) for x in (query, key, value))
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scaling)
        halves.append(_pick(out.unflatten(1, (-1, groups)).flatten(2, 3), place))
    return torch.cat(halves, 1).transpose(1, 2).contiguous(), None


def _extents(mask: Tensor | None, query: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row begins, and its length; both [B]. The last position sees all of its row."""
    if mask is None:
        return (torch.full((len(query),), fill, device=query.device) for fill in (0, query.shape[2]))
    seen = mask[:, 0, -1] if mask.dtype == torch.bool else mask[:, 0, -1] == 0  # [B, T]
    return seen.int().argmax(-1).expand(len(query)), seen.sum(-1).expand(len(query))


def _slots(start: Tensor, size: Tensor, border: Tensor, *, length: int, groups: int,
           width: int) -> tuple[Tensor, Tensor]:
    """Which position each slot holds, [B, G w], and in which slot each position lies, [B, T].

    The first group has ``border`` tokens (with none there, it begins as the others do), the others ``size``. Tokens
    come first in their slots, so that a causal mask keeps them from the rest of the slots, whose positions are any.
    """
    at = torch.arange(length, device=size.device)[None] - start[:, None]  # [B, T], from the start of the row
    size, border = size[:, None], border[:, None]  # [B, 1]
    first = (border > 0).long()  # the group after the one before the border
    behind = at - border
    group = torch.where(behind < 0, 0, behind // size + first)
    slot = torch.where(behind < 0, at, behind % size)
    place = (group * width + slot).clamp(0, groups * width - 1)
    number = torch.arange(groups, device=size.device)[None]  # [1, G]
    begin = torch.where(number < first, 0, border + (number - first) * size)  # [B, G]
    source = begin[..., None] + torch.arange(width, device=size.device) + start[:, None, None]  # [B, G, w]
    return source.flatten(1).clamp(max=length - 1), place


def _pick(x: Tensor, positions: Tensor) -> Tensor:
    """``x`` [B, h, T, d] at ``positions`` [B, S] -> [B, h, S, d]."""
    return x.gather(2, positions[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))


def _check_plain(module: nn.Module, kwargs: dict[str, Any], width: int) -> None:
    special = [name for name in ('softcap', 's_aux', 'position_bias') if kwargs.get(name) is not None]
    window = kwargs.get('sliding_window')
    if special or window is not None and window < width:
        what = special[0] if special else f'a sliding window of {window}, shorter than groups of {width},'
        raise UsageError(f'--tuner_type longlora: {type(module).__name__} attends with {what} which groups do not '
                         'have; use lora.')


TUNERS.add(Tuner(name='longlora', options=LongloraOptions, build=_longlora, also_saved=('EMBEDDING', 'LN'),
                 on_model=lambda model, options: train_with_shifted_groups(model, options.longlora_group_size_ratio)))
