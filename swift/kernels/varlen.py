"""Attention over a line of documents: every token sees the tokens of its own document, and nothing is ever [T, T].

    o_i = sum_j p_ij v_j,  p_i = softmax over j of f(scale q_i . k_j),  f(s) = s, or c tanh(s / c) with soft-capping

j runs over the tokens of the document of i: up to i itself when causal, only the last ``window`` of these with a
sliding window. A learned sink adds exp(sink_h) to the denominator of head h (gpt-oss, StreamingLLM arXiv 2309.17453).

Who computes it is a choice of this file alone: flash attention over cumulative lengths (arXiv 2205.14135) on CUDA in
16 bit, PyTorch's fused attention document by document elsewhere, and the formula itself, a block of queries at a time,
for what the fused ones can't do.

In this file: T tokens in a line, H_q query heads, H_kv heads of keys and values (H_q a multiple of it), d their width.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from swift.utils.extras import available

Implementation = Literal['varlen', 'sdpa', 'plain', 'flex', 'flash_attention_2', 'flash_attention_3']

_ROWS = 512
"""Queries at a time where scores must be kept, or a mask made."""

_FLASH_MODULES = {'flash_attention_2': 'flash_attn', 'flash_attention_3': 'flash_attn_interface'}


@dataclass(frozen=True, eq=False)
class Documents:
    """Where the documents of a line begin and end; made once for a batch, on the CPU, so that nothing waits for a GPU.

    Attributes:
        starts: [n + 1] int32, cumulative lengths: document i is ``starts[i]:starts[i + 1]``; on the line's device.
        lengths: of each document, above 0, in tokens.
        longest: the largest of them.
    """

    starts: torch.Tensor
    lengths: tuple[int, ...]
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Documents:
        """Documents of these lengths, on the CPU.

        Raises:
            ValueError: there is none, or one without tokens.
        """
        lengths = tuple(int(length) for length in lengths)
        if not lengths or min(lengths) < 1:
            raise ValueError(f'Documents must have at least one token each, got lengths {list(lengths)}.')
        starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
        return cls(starts, lengths, max(lengths))

    @property
    def tokens(self) -> int:
        """T, of all documents together."""
        return sum(self.lengths)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> Documents:
        """The same on a device; itself when it is there."""
        starts = self.starts.to(device, non_blocking=non_blocking)
        return self if starts is self.starts else replace(self, starts=starts)

    def pin_memory(self) -> Documents:
        """The same in pinned memory (a DataLoader with ``pin_memory`` calls it)."""
        return replace(self, starts=self.starts.pin_memory())


@dataclass(frozen=True)
class _Terms:
    """What :func:`attend` is asked for beside the tensors."""

    scale: float
    window: int | None
    softcap: float | None
    dropout: float
    causal: bool


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents, *, scale: float | None = None,
           window: int | None = None, softcap: float | None = None, sinks: torch.Tensor | None = None,
           dropout: float = 0.0, causal: bool = True, implementation: Implementation | None = None) -> torch.Tensor:
    """Attention of a line of documents.

    Args:
        q: [T, H_q, d]. Under autocast the three may have other dtypes than what is computed in.
        k: [T, H_kv, d].
        v: [T, H_kv, d_v]; the width may be another one (latent attention).
        documents: of the line, on its device.
        scale: of the scores; None is 1 / sqrt(d).
        window: how many tokens a token sees, itself included; None is all before it.
        softcap: c, or None (Gemma 2).
        sinks: [H_q] or None.
        dropout: probability of leaving out a p_ij.
        causal: a token sees no later one; without it there is no window.
        implementation: who computes it; None takes :func:`choose_implementation`.

    Returns:
        [T, H_q, d_v] in the dtype that is computed in, differentiable in q, k, v and sinks.

    Raises:
        ValueError: shapes don't fit, or the implementation that was asked for can't do this.
    """
    if q.ndim != 3 or k.ndim != 3 or k.shape[:2] != v.shape[:2] or q.shape[2] != k.shape[2] or q.shape[1] % k.shape[1]:
        raise ValueError('q must be [T, H_q, d], k [T, H_kv, d] and v [T, H_kv, d_v] with H_q a multiple of H_kv, got '
                         f'{list(q.shape)}, {list(k.shape)} and {list(v.shape)}.')
    if not torch.compiler.is_compiling() and not q.shape[0] == k.shape[0] == documents.tokens:  # compiled for any
        raise ValueError(f'The documents have {documents.tokens} tokens together, and the line has {q.shape[0]} '
                         f'queries and {k.shape[0]} keys.')
    if window is not None and (window < 1 or not causal):
        raise ValueError(f'A window must be above 0 and needs causal=True, got window {window}, causal {causal}.')
    device = q.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    if window is not None and window >= documents.longest:
        window = None
    terms = _Terms(q.shape[2] ** -0.5 if scale is None else scale, window, softcap, dropout, causal)
    chosen = implementation or choose_implementation(q, v, terms, sinks)
    problem = _unable(chosen, q, v, terms, sinks)
    if problem is not None:
        raise ValueError(f'The attention {chosen!r} {problem}. Leave implementation away to get one that can.')
    with torch.autocast(device, enabled=False):
        if chosen == 'plain':
            return _by_formula(q, k, v, documents, terms, sinks)
        return _RUN[chosen](q, k, v, documents, terms)


def choose_implementation(q: torch.Tensor, v: torch.Tensor, terms: _Terms,
                          sinks: torch.Tensor | None) -> Implementation:
    """The quickest that can do this: 'varlen', else 'sdpa', else 'plain'. Asks shapes and devices, not values."""
    return next(name for name in ('varlen', 'sdpa', 'plain') if _unable(name, q, v, terms, sinks) is None)


def _unable(name: Implementation, q: torch.Tensor, v: torch.Tensor, terms: _Terms,
            sinks: torch.Tensor | None) -> str | None:
    """Why an implementation can't do this, as the end of a sentence, or None."""
    if name == 'plain':
        return None
    if sinks is not None:
        return 'has no sinks'
    if name == 'sdpa':
        return None if terms.softcap is None else 'has no soft-capping'
    if name == 'flex':
        return None if not terms.dropout else 'has no dropout'
    if not q.is_cuda or q.dtype not in (torch.float16, torch.bfloat16):
        return f'runs on CUDA in float16 and bfloat16, not on {q.device.type} in {q.dtype}'
    if _capability(q.device) < (8, 0):
        return 'needs a GPU of compute capability 8.0 or newer'
    if q.shape[2] % 8 or q.shape[2] > 256 or v.shape[2] > q.shape[2]:
        return f'takes heads whose width is a multiple of 8 up to 256, not {q.shape[2]} and {v.shape[2]}'
    if name == 'varlen':
        if terms.softcap is not None or terms.dropout:
            return 'has neither soft-capping nor dropout'
        return _varlen_keywords().unable(terms)
    if not available(_FLASH_MODULES[name]):
        return f'needs the module {_FLASH_MODULES[name]}, which is not installed'
    if name == 'flash_attention_3' and terms.dropout:
        return 'has no dropout'
    return None


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


# ---- flash attention over cumulative lengths


@dataclass(frozen=True)
class _VarlenKeywords:
    """What the installed PyTorch's ``varlen_attn`` takes: torch 2.10 has ``is_causal``, and later ones a window."""

    present: bool
    is_causal: bool
    window_size: bool
    enable_gqa: bool

    def unable(self, terms: _Terms) -> str | None:
        if not self.present:
            return 'is not in this PyTorch'
        if terms.window is not None and not self.window_size:
            return 'has no sliding window in this PyTorch'
        return None

    def options(self, terms: _Terms, groups: int) -> dict[str, object]:
        options: dict[str, object] = {'scale': terms.scale}
        if self.enable_gqa and groups > 1:
            options['enable_gqa'] = True
        if terms.window is not None:
            options['window_size'] = (terms.window - 1, 0)
        elif self.is_causal:
            options['is_causal'] = terms.causal
        elif terms.causal:
            options['window_size'] = (-1, 0)
        return options


@functools.cache
def _varlen_keywords() -> _VarlenKeywords:
    if not available('torch.nn.attention.varlen'):
        return _VarlenKeywords(False, False, False, False)
    from torch.nn.attention.varlen import varlen_attn

    names = inspect.signature(varlen_attn).parameters
    return _VarlenKeywords(True, 'is_causal' in names, 'window_size' in names, 'enable_gqa' in names)


def _by_varlen(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents, terms: _Terms) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn  # its import registers operators, which only CUDA runs need

    width = v.shape[2]
    starts, longest = documents.starts, documents.longest
    options = _varlen_keywords().options(terms, q.shape[1] // k.shape[1])
    out = varlen_attn(q, k, _padded(v, q.shape[2]), starts, starts, longest, longest, **options)
    return _cut(out, width)


def _by_flash_package(name: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents,
                      terms: _Terms) -> torch.Tensor:
    """Both packages have this function under one name; version 3 has no dropout and may return the normalisers, too."""
    options: dict[str, object] = {'softmax_scale': terms.scale, 'causal': terms.causal,
                                  'window_size': (-1, -1) if terms.window is None else (terms.window - 1, 0),
                                  'softcap': terms.softcap or 0.0}
    if name == 'flash_attention_2':
        from flash_attn import flash_attn_varlen_func

        options['dropout_p'] = terms.dropout
    else:
        from flash_attn_interface import flash_attn_varlen_func

    out = flash_attn_varlen_func(q, k, _padded(v, q.shape[2]), cu_seqlens_q=documents.starts,
                                 cu_seqlens_k=documents.starts, max_seqlen_q=documents.longest,
                                 max_seqlen_k=documents.longest, **options)
    return _cut(out[0] if isinstance(out, tuple) else out, v.shape[2])


def _cut(out: torch.Tensor, width: int) -> torch.Tensor:
    """Without a slice where there is nothing to cut: its backward would copy the whole gradient."""
    return out if out.shape[2] == width else out[..., :width]


def _padded(v: torch.Tensor, width: int) -> torch.Tensor:
    return v if v.shape[2] == width else F.pad(v, (0, width - v.shape[2]))


# ---- FlexAttention


def _by_flex(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents, terms: _Terms) -> torch.Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    run = _compiled_flex() if q.is_cuda else flex_attention
    score_mod = None if terms.softcap is None else _capping(terms.softcap)
    heads = [x.transpose(0, 1)[None] for x in (q, k, v)]
    out = run(*heads, score_mod=score_mod, block_mask=_block_mask(documents, terms.window, terms.causal),
              scale=terms.scale, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1)


@functools.cache
def _compiled_flex():
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


@functools.cache
def _capping(softcap: float):
    """One function object a value, so that nothing is compiled twice."""
    return lambda score, b, h, i, j: softcap * torch.tanh(score / softcap)


@functools.lru_cache(maxsize=4)  # a batch is asked by every layer, and is gone after its backward
def _block_mask(documents: Documents, window: int | None, causal: bool):
    from torch.nn.attention.flex_attention import create_block_mask

    line = torch.arange(documents.tokens, device=documents.starts.device)
    document = torch.searchsorted(documents.starts[1:].contiguous(), line, right=True)

    def seen(b, h, i, j):
        inside = document[i] == document[j]
        if causal:
            inside = inside & (j <= i)
        return inside if window is None else inside & (j > i - window)

    return create_block_mask(seen, None, None, documents.tokens, documents.tokens, device=line.device)


# ---- document by document


def _blocks(terms: _Terms, length: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """(queries, the keys that these see) of one document, together all that is to be computed."""
    for begin in range(0, length, rows):
        end = min(begin + rows, length)
        first = 0 if terms.window is None else max(begin - terms.window + 1, 0)
        yield slice(begin, end), slice(first, end if terms.causal else length)


def _hidden(rows: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    """[rows, keys] bool, what the last ``rows`` of ``keys`` tokens must not see when causal."""
    distance = torch.arange(keys - rows, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (distance < 0) if window is None else (distance < 0) | (distance >= window)


def _by_sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents, terms: _Terms) -> torch.Tensor:
    """Heads of one group of queries are the heads of a batch of H_kv; keys and values are expanded, not repeated."""
    groups = (k.shape[1], q.shape[1] // k.shape[1])
    out, masks = [], {}  # the masks of a call are shared: the backward keeps them, and inner blocks all have the same
    parts = zip(q.split(documents.lengths), k.split(documents.lengths), v.split(documents.lengths), strict=True)
    for one_q, one_k, one_v in parts:
        length = one_q.shape[0]
        heads_q = one_q.unflatten(1, groups).permute(1, 2, 0, 3)
        heads_k, heads_v = (x.transpose(0, 1)[:, None].expand(-1, groups[1], -1, -1) for x in (one_k, one_v))
        whole = terms.window is None or length <= terms.window
        for rows, keys in _blocks(terms, length, length if whole else _ROWS):
            span = (rows.stop - rows.start, keys.stop - keys.start)
            if not whole and span not in masks:
                hidden = _hidden(*span, terms.window, q.device)
                masks[span] = q.new_zeros(span).masked_fill_(hidden, float('-inf'))
            mask = None if whole else masks[span]
            found = F.scaled_dot_product_attention(
                heads_q[:, :, rows], heads_k[:, :, keys], heads_v[:, :, keys], attn_mask=mask,
                dropout_p=terms.dropout, is_causal=whole and terms.causal and length > 1, scale=terms.scale)
            out.append(found.permute(2, 0, 1, 3).flatten(1, 2))
    return torch.cat(out)


def _by_formula(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, documents: Documents, terms: _Terms,
                sinks: torch.Tensor | None) -> torch.Tensor:
    """The module's formula in float32. Scores of a block live in its forward and again in its backward, not between."""
    out = []
    parts = zip(q.split(documents.lengths), k.split(documents.lengths), v.split(documents.lengths), strict=True)
    for one_q, one_k, one_v in parts:
        for rows, keys in _blocks(terms, one_q.shape[0], _ROWS):
            out.append(checkpoint(_formula_block, one_q[rows], one_k[keys], one_v[keys], sinks, terms,
                                  use_reentrant=False, preserve_rng_state=terms.dropout > 0))
    return torch.cat(out)


def _formula_block(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sinks: torch.Tensor | None,
                   terms: _Terms) -> torch.Tensor:
    """q [R, H_q, d], the last R of the S tokens of k [S, H_kv, d] and v when causal -> [R, H_q, d_v]."""
    exact = torch.promote_types(q.dtype, torch.float32)
    heads_q = q.to(exact).unflatten(1, (k.shape[1], -1)).permute(1, 2, 0, 3)  # [H_kv, G, R, d]
    heads_k, heads_v = (x.to(exact).transpose(0, 1)[:, None] for x in (k, v))
    scores = (heads_q * terms.scale) @ heads_k.transpose(2, 3)
    if terms.softcap is not None:
        scores = terms.softcap * torch.tanh(scores / terms.softcap)
    if terms.causal:
        scores = scores.masked_fill(_hidden(q.shape[0], k.shape[0], terms.window, q.device), float('-inf'))
    if sinks is None:
        p = scores.softmax(-1)
    else:
        sink = sinks.to(exact).view(k.shape[1], -1, 1, 1).expand(*scores.shape[:3], 1)
        p = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    p = F.dropout(p, terms.dropout) if terms.dropout else p
    return (p @ heads_v).permute(2, 0, 1, 3).flatten(1, 2).to(q.dtype)


_RUN = {'varlen': _by_varlen, 'sdpa': _by_sdpa, 'flex': _by_flex,
        **{name: functools.partial(_by_flash_package, name) for name in _FLASH_MODULES}}
