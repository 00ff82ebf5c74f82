"""Whether the fused loss head serves a model: known facts about its logits, then a trial on the model itself.

Only here is known which models change their logits after the output layer; ``swift.kernels`` computes what it is told.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig

from swift.kernels.fused_head import FusedHead, Installed, install
from swift.kernels.loss_head import LossTerms
from swift.llm.template.collate import collate
from swift.trainers.batching import is_spread
from swift.trainers.loss import causal_lm_loss
from swift.utils.logging import get_logger

logger = get_logger()


def _softcapped(config: PreTrainedConfig) -> LossTerms:
    return LossTerms(softcap=config.final_logit_softcapping)


def _scaled(config: PreTrainedConfig) -> LossTerms:
    return LossTerms(scale=config.logit_scale)


def _divided(config: PreTrainedConfig) -> LossTerms:
    return LossTerms(scale=1 / config.logits_scaling)


# Types of (text) configurations whose model changes its logits, and how; every other is taken to leave them alone.
AFTER_HEAD: dict[str, Callable[[PreTrainedConfig], LossTerms]] = {
    **dict.fromkeys(('gemma2', 'gemma3_text', 'gemma3n_text', 'gemma4_text', 'gemma4_unified_text', 'vaultgemma',
                     'nanochat'), _softcapped),
    **dict.fromkeys(('cohere', 'cohere2', 'cohere2_moe'), _scaled),
    **dict.fromkeys(('granite', 'granite_swa', 'granitemoe', 'granitemoe_swa', 'granitemoehybrid', 'granitemoeshared'),
                    _divided),
    'falcon_h1': lambda config: LossTerms(scale=config.lm_head_multiplier),
    'muse_glimmer_text': lambda config: LossTerms(config.output_multiplier, config.final_logit_softcapping),
    'hyperclovax': lambda config: LossTerms(scale=config.logits_scaling),
    'recurrent_gemma': lambda config: LossTerms(softcap=config.logits_soft_cap),
}


def fuse_head(model: nn.Module, typed: bool | None, *, sharded: bool) -> Installed | None:
    """Put the fused loss head into a transformers model, where it gives the plain loss; says what was decided.

    Args:
        model: without wrappers; adapters may be inside.
        typed: ``--fused_loss_head``; a reason against it is a warning when it was asked for.
        sharded: parameters are spread over processes by ZeRO-3 or FSDP, so that the model can't run yet. The trial is
            then the trainer's, see :func:`disagreement`.
    """
    if typed is False:
        return None
    text = model.config.get_text_config()
    terms = AFTER_HEAD.get(text.model_type, lambda _: LossTerms())(text)
    head = model.get_output_embeddings()
    if is_spread(model):
        done: Installed | str = 'the model lies on several devices'
    elif head is None:
        done = f'{type(model).__name__} names no output layer'
    else:
        done = install(model, head, terms)
    if isinstance(done, Installed) and not sharded:
        problem = disagreement(model, done.head, with_gradient=True)
        if problem is not None:
            done.restore()
            done = problem
    if isinstance(done, str):
        (logger.warning if typed else logger.info)('The loss is computed from whole logits: %s.', done)
        return None
    logger.info('Fused loss head: logits are never held in memory%s.',
                '' if sharded else '; tried on this model, loss and gradient are those of the plain one')
    return done


def disagreement(model: nn.Module, head: FusedHead, *, with_gradient: bool) -> str | None:
    """Compute the loss of a few tokens plainly and by ``head``, which is in ``model``.

    Args:
        model: the model, or what wraps it; on every process the same call is made.
        head: in its place.
        with_gradient: also compare the gradient that reaches the output layer's input.

    Returns:
        How they differ, as the end of a sentence, or None when they agree.
    """
    was_training = model.training
    model.eval()
    batch = {name: tensor.to(head.weight.device) for name, tensor in few_tokens(head.out_features).items()}
    try:
        with torch.set_grad_enabled(with_gradient):
            plain, fused = (_loss_and_gradient(model, head, batch, fused) for fused in (False, True))
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as e:  # of the model's own code
        return f'the fused one fails in this model ({str(e).splitlines()[0] if str(e) else type(e).__name__})'
    finally:
        model.train(was_training)
    tolerance = 1e-4 if head.weight.dtype in (torch.float32, torch.float64) else 2e-2
    for what, one, other in zip(('loss', 'gradient'), plain, fused, strict=True):
        if not (one - other).abs().max() <= tolerance * one.abs().max():
            return f'the {what} of the fused one differs in this model'
    return None


def few_tokens(vocabulary: int) -> dict[str, torch.Tensor]:
    """Two short rows for a trial, of ids that every vocabulary has."""
    generator = np.random.default_rng(0)
    ids = generator.integers(min(10, vocabulary // 2), min(60, vocabulary), (2, 12))
    rows = [{'input_ids': row, 'weights': (np.arange(12) % 3 > 0).astype(np.float32)} for row in ids]
    return collate(rows, pad_id=0, padding_free=False)


def _loss_and_gradient(model: nn.Module, head: FusedHead, batch: dict[str, torch.Tensor],
                       fused: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and its gradient at the input of ``head`` (zero where gradients are off)."""
    seen: list[torch.Tensor] = []

    def start_here(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        seen.append(args[0].detach().requires_grad_(torch.is_grad_enabled()))
        return (seen[-1],)

    hook = head.register_forward_pre_hook(start_here)
    try:
        parts = causal_lm_loss(model, batch, head_takes_positions=False, head=head if fused else None, accuracy=None)
    finally:
        hook.remove()
    loss = parts.weighted_nll
    gradient = torch.autograd.grad(loss, seen[0])[0] if loss.requires_grad else torch.zeros_like(loss)
    return loss.detach().float(), gradient.float()
