"""Whether rows that share a line can't see each other in a model: facts about it, then a trial on the model itself.

Two ways are tried. By documents (:mod:`swift.llm.model.attention`), which costs what the rows cost; then by the
block-diagonal mask that transformers derives from position ids, which costs the square of the line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from swift.kernels.varlen import Documents
from swift.llm.model.attention import Call, documents_seen, see_documents
from swift.trainers.batching import forward_takes

_LENGTHS = (12, 5, 19)
_FAILS = 'it fails on a line of rows'
_OF_THE_MODEL = (RuntimeError, IndexError, ValueError, TypeError, AttributeError, KeyError, ImportError)
# Layers by the name that configurations give them. With a kind that is in neither of the first two, documents are not
# tried: what it does to rows longer than those of the trial is not known.
_WITHOUT_STATE = frozenset({'full_attention', 'attention', 'sliding_attention', 'moe', 'mlp'})
_RECURRENT = dict.fromkeys(('linear_attention', 'mamba', 'mamba2', 'recurrent', 'hybrid', 'conv'),
                           'carry state from row to row')
_BLAMED = _RECURRENT | dict.fromkeys(('compressed_sparse_attention', 'heavily_compressed_attention'),
                                     'compress keys over the borders of rows')


@dataclass(frozen=True)
class OneLine:
    """How rows may share a line in a model.

    Attributes:
        documents: the model attends by documents, and is told of them; else by the mask that transformers derives.
        problem: why rows may not share a line at all, as the end of a sentence; None when they may.
        remark: why not by documents, as the end of a sentence; None when by documents.
    """

    documents: bool
    problem: str | None = None
    remark: str | None = None


def share_a_line(model: PreTrainedModel, *, by_documents: bool = True, autocast: torch.dtype | None = None) -> OneLine:
    """Find out how rows may share a line; when by documents, the model attends by them from now on.

    Args:
        model: without wrappers; adapters may be inside.
        by_documents: False tries only the mask, with the attention that the model has.
        autocast: what the training computes in, where that is not the dtype of the weights.
    """
    if not forward_takes(model, 'position_ids'):
        return OneLine(False, 'its forward takes no position ids, so that they can not begin anew with each row')
    if len(model.get_input_embeddings().weight) < 64:
        return OneLine(False, 'its vocabulary is too small for the trial')
    trial = _Trial.of(model, autocast)
    remark = 'it was asked for by name' if not by_documents else _try_documents(model, trial)
    if remark is None:
        return OneLine(True)
    problem = trial.problem_of_line({})
    return OneLine(False, None if problem is None else _concrete(model, problem, remark), remark)


def why_rows_are_not_kept_apart(model: PreTrainedModel) -> str | None:
    """Why rows of one line would disturb each other, as the end of a sentence; None when they do not.

    The model is left as it was; see :func:`share_a_line`.
    """
    switched_before = see_documents(model)
    if not isinstance(switched_before, str):
        switched_before.restore()
    found = share_a_line(model)
    if found.documents and not isinstance(switched_before, str):
        switched_before.restore()
    return found.problem


def keeps_rows_apart(model: PreTrainedModel) -> bool:
    """Whether rows that share one line can't see each other in this model, tried on the model itself."""
    return why_rows_are_not_kept_apart(model) is None


def _try_documents(model: PreTrainedModel, trial: _Trial) -> str | None:
    """Why not by documents; None leaves the model attending by them."""
    kinds = _kinds(model)
    unknown = sorted(set(kinds) - _WITHOUT_STATE - _RECURRENT.keys())
    if unknown:
        return f'its layers of type {", ".join(unknown)} attend in a way of their own'
    calls: list[Call] = []
    tried = see_documents(model, calls)
    if isinstance(tried, str):
        return tried
    try:
        problem = trial.problem_of_line(documents_seen(trial.documents)) or _untold_window(model, kinds, calls)
        if problem is None and not calls:
            problem = 'no layer of it asked for its attention'
        if problem is None:
            problem = trial.problem_of_padded()
    finally:
        tried.restore()
    if problem is None:
        see_documents(model)
    return problem


def _kinds(model: PreTrainedModel) -> list[str]:
    values = model.config.get_text_config().to_dict()
    return list(values.get('layer_types') or values.get('layers_block_type') or [])


def _untold_window(model: PreTrainedModel, kinds: list[str], calls: list[Call]) -> str | None:
    """A window that is in the model's configuration and only in its masks: by documents it would be lost.

    The rows of the trial are shorter than the window of any real model, so that their logits can't tell.
    """
    values = model.config.get_text_config().to_dict()
    if not values.get('sliding_window') or values.get('use_sliding_window') is False:
        return None
    untold = [call for call in calls if call.window is None and
              (kinds[call.layer] == 'sliding_attention' if kinds and call.layer is not None else True)]
    told = any(call.window is not None for call in calls)
    if (kinds and any(call.layer is not None for call in calls) and untold) or (untold and not told):
        return 'its layers do not tell their attention of the sliding window'
    return None


def _concrete(model: PreTrainedModel, problem: str, remark: str) -> str:
    """With the layers that are to blame where the configuration names such, and what would help where a layer says."""
    blamed = [kind for kind in dict.fromkeys(_kinds(model)) if kind in _BLAMED]
    if not blamed:
        return problem
    named = ' and '.join(f'its layers of type {kind} {_BLAMED[kind]}' for kind in blamed)
    return f'{named}: {remark}' if remark.startswith(_FAILS) else named


@dataclass(frozen=True)
class _Run:
    """What a row, or a line of rows, gave.

    Attributes:
        logits: [T, at most 64], float32.
        embeddings: [1, T, D], what ``logits`` can be differentiated in.
    """

    logits: Tensor
    embeddings: Tensor

    def gradient(self, of: slice, weights: Tensor) -> Tensor:
        """Of ``sum(weights * logits[of])`` in the embeddings, float32 [T, D]."""
        loss = (self.logits[of] * weights).sum()
        return torch.autograd.grad(loss, self.embeddings, retain_graph=True)[0][0].float()


@dataclass(frozen=True)
class _Trial:
    """Three rows of unequal lengths, and what each of them gives alone, before anything is changed in the model."""

    model: PreTrainedModel
    autocast: torch.dtype | None
    rows: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    alone: tuple[_Run, ...]
    gradients: tuple[Tensor, ...]
    documents: Documents

    @classmethod
    def of(cls, model: PreTrainedModel, autocast: torch.dtype | None) -> _Trial:
        generator = torch.Generator().manual_seed(0)
        device = model.get_input_embeddings().weight.device
        rows = tuple(torch.randint(10, 60, (1, n), generator=generator).to(device) for n in _LENGTHS)
        alone = tuple(_run(model, autocast, row, torch.arange(row.shape[1], device=device)[None], {}) for row in rows)
        weights = tuple(torch.randn(run.logits.shape, generator=generator).to(run.logits.device) for run in alone)
        gradients = tuple(run.gradient(slice(None), w) for run, w in zip(alone, weights, strict=True))
        return cls(model, autocast, rows, weights, alone, gradients, Documents.of(_LENGTHS).to(device))

    @property
    def rounding(self) -> float:
        """What other shapes and orders of sums change, of the norm; far below what a wrong position changes."""
        return 1e-3 if self.autocast is None and self.model.dtype in (torch.float32, torch.float64) else 0.1

    def problem_of_line(self, told: dict[str, Any]) -> str | None:
        """What is wrong when the rows share a line, as the end of a sentence, or None.

        Gradients are the sharp part: that of one row's logits in another row's embeddings is exactly zero, in every
        dtype. But a choice between tokens has no gradient: so the logits must also stay when another row changes.
        """
        positions = torch.cat([torch.arange(n, device=self.rows[0].device) for n in _LENGTHS])[None]
        ids = torch.cat(self.rows, 1)
        other = ids.clone()
        other[:, :_LENGTHS[0]] = (ids[:, :_LENGTHS[0]] - 10 + 17) % 50 + 10
        try:
            line = _run(self.model, self.autocast, ids, positions, told)
            changed = _run(self.model, self.autocast, other, positions, told)
            begin = 0
            for number, length in enumerate(_LENGTHS):
                here = slice(begin, begin + length)
                gradient = line.gradient(here, self.weights[number])
                elsewhere = torch.cat([gradient[:begin], gradient[begin + length:]])
                if elsewhere.any():
                    return 'a row of the line sees another one'
                if number and _distance(changed.logits[here], line.logits[here]) > self.rounding / 100:
                    return 'a row of the line changes another one'
                if not _distance(line.logits[here], self.alone[number].logits) <= self.rounding:
                    return 'a row in a line gives other logits than alone'
                if not _distance(gradient[here], self.gradients[number]) <= 3 * self.rounding:
                    return 'a row in a line gives other gradients than alone'
                begin += length
        except _OF_THE_MODEL as e:
            return f'{_FAILS} ({_first_line(e)})'
        return None

    def problem_of_padded(self) -> str | None:
        """Whether a batch that is no line gives what it gave before."""
        positions = torch.arange(_LENGTHS[0], device=self.rows[0].device)[None]
        try:
            found = _run(self.model, self.autocast, self.rows[0], positions, {})
        except _OF_THE_MODEL as e:
            return f'it fails on padded batches ({_first_line(e)})'
        agrees = _distance(found.logits, self.alone[0].logits) <= self.rounding
        return None if agrees else 'it gives other logits for padded batches'


def _distance(one: Tensor, other: Tensor) -> float:
    """Norm of the difference, of the norm of ``other``; NaN where there is one."""
    return ((one - other).norm() / other.norm().clamp(min=1e-20)).item()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removesuffix('.') if str(error).strip() else type(error).__name__


def _run(model: PreTrainedModel, autocast: torch.dtype | None, ids: Tensor, positions: Tensor,
         told: dict[str, Any]) -> _Run:
    """A forward in evaluation mode that can be differentiated in the embeddings, whatever of the model is trained."""
    seen: list[Tensor] = []

    def start_here(module: nn.Module, args: tuple[Tensor], embeddings: Tensor) -> Tensor:
        seen.append(embeddings.detach().requires_grad_())
        return seen[-1]

    hook = model.get_input_embeddings().register_forward_hook(start_here)
    try:
        with _evaluating(model), torch.enable_grad(), torch.autocast(ids.device.type, autocast,
                                                                     enabled=autocast is not None):
            logits = model(input_ids=ids, position_ids=positions, use_cache=False, **told).logits
    finally:
        hook.remove()
    return _Run(logits[0, :, :64].float(), seen[0])


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
