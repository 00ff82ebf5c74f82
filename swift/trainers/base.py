"""The training loop's own parts: the batches of a step, the loss over them, evaluation, and what is logged.

One optimizer step is the mean of the loss over all trained tokens of its rows, whatever the ranks, micro-batches and
accumulation it is cut into: every micro-batch's sum is divided by the token count of the whole step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from swift.kernels.fused_head import FusedHead
from swift.trainers.batching import CountedRows, RankStream, StepBatchSampler, StepPlan
from swift.trainers.checkpointing import CheckpointingTrainer
from swift.trainers.guard import StepGuard, guard_of, not_finite
from swift.trainers.head import disagreement
from swift.trainers.loss import LossParts, causal_lm_loss, trained_tokens
from swift.trainers.memory import GIB, held_bytes
from swift.trainers.meter import Meter, log_row
from swift.trainers.optimizers import OptimizerPlan, make_optimizer
from swift.trainers.packing import PackedSampler, PackedStream, step_sampler
from swift.trainers.prefetch import Prefetcher
from swift.utils.errors import SwiftError
from swift.utils.logging import get_logger

logger = get_logger()

# A GradScaler lowers its scale after each overflow; this many overflows in a row mean that no scale helps.
_FP16_OVERFLOWS_IN_A_ROW = 20


class SwiftTrainer(CheckpointingTrainer):
    """Trains a causal language model on encoded rows.

    Args:
        plan: how the rows of a step are cut into micro-batches.
        data_seed: seed of the order of rows.
        head_takes_positions: see :func:`swift.trainers.loss.causal_lm_loss`.
        accuracy: 'token' or 'sentence'.
        accuracy_steps: count the training accuracy every so many optimizer steps.
        optimizer_plan: see :func:`swift.trainers.optimizers.make_optimizer`; None for the Trainer's own way.
        head: the fused loss head in the model, or None.
        tries_head: compare it with the plain loss before the first batch (where that could not be done before).
        meter: measures the run; None measures without peaks and FLOPs.
        gradients_whole: there is a buffer for all gradients (not with an optimizer in the backward).
        (others): those of :class:`transformers.Trainer`.
    """

    def __init__(self, *args, plan: StepPlan, data_seed: int, head_takes_positions: bool, accuracy: str = 'token',
                 accuracy_steps: int = 1, optimizer_plan: OptimizerPlan | None = None, head: FusedHead | None = None,
                 tries_head: bool = False, meter: Meter | None = None, gradients_whole: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # our loss is already divided by the step's tokens
        self._plan = plan
        self._data_seed = data_seed
        self._head_takes_positions = head_takes_positions
        self._accuracy = accuracy
        self._accuracy_steps = max(accuracy_steps, 1)
        self._optimizer_plan = optimizer_plan
        self._head = head
        self._tries_head = tries_head
        self._sampler: StepBatchSampler | PackedSampler | None = None
        self._prefetcher: Prefetcher | None = None
        self._overflows = 0
        self._guard: StepGuard | None = None
        self._meter = meter or Meter(processes=plan.world)
        self._gradients_whole = gradients_whole
        self._losses: list[torch.Tensor] = []  # of the step that is under way

    # ---- rows

    def get_train_dataloader(self) -> DataLoader:
        rows, common = self.train_dataset, self._loader_options(self.args.dataloader_num_workers)
        if isinstance(rows, IterableDataset):
            if self._plan.pack_length is not None:
                return DataLoader(PackedStream(rows, self._plan, seed=self._data_seed), batch_size=None, **common)
            return DataLoader(RankStream(rows, self._plan), batch_size=self._plan.batch_size, **common)
        self._sampler = step_sampler(rows, self._plan, seed=self._data_seed, drop_last=self.args.dataloader_drop_last)
        return DataLoader(CountedRows(rows), batch_sampler=self._sampler, **common)

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        """Rows in their own order; every rank gets equally many batches, the missing ones count nothing."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        plan = dataclasses.replace(self._plan, batch_size=self.args.per_device_eval_batch_size, accumulation=1)
        sampler = step_sampler(rows, plan, seed=0, shuffle=False)
        return DataLoader(CountedRows(rows), batch_sampler=sampler, **self._loader_options(0))

    def _loader_options(self, workers: int) -> dict[str, Any]:
        # Its own generator: the loader must not draw from the generator that dropout uses.
        return {'collate_fn': self.data_collator, 'num_workers': workers,
                'pin_memory': self.args.dataloader_pin_memory, 'generator': torch.Generator().manual_seed(0)}

    def start_epoch(self) -> None:
        """Give the sampler the epoch that the next optimizer step belongs to; a stream counts its own."""
        if self._sampler is not None:
            steps = -(-len(self._sampler) // self._plan.accumulation)
            self._sampler.set_epoch(self.state.global_step // max(steps, 1))

    def end_step(self) -> None:
        """Stop the clock of tokens/s: evaluation and saving don't count."""
        self._meter.end_step()

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int,
                          device: torch.device) -> tuple[list[dict], torch.Tensor | None]:
        """The micro-batches of one step and how many trained tokens all ranks have in it together.

        The copies to the device wait for nothing: they are half a megabyte each, from pinned memory, in the order of
        the device's other work.
        """
        self._meter.go_on()
        with self._meter.waiting():
            ahead = self._read_ahead(epoch_iterator)
            batches = [batch for _, batch in zip(range(num_batches), ahead, strict=False)]
        if not batches:
            return [], None
        tokens = torch.stack([trained_tokens(batch) for batch in batches]).sum().to(device, non_blocking=True)
        self._meter.add_step(tokens)
        if self._plan.world > 1:
            tokens = self.accelerator.reduce(tokens, reduction='sum')
        batches = [{name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()} for batch in batches]
        return batches, tokens.clamp(min=1)

    def _read_ahead(self, batches: Iterator) -> Iterator:
        """The same batches, those of the next step made meanwhile; loader processes do that by themselves."""
        if self.args.dataloader_num_workers > 0:
            return batches
        if self._prefetcher is None or self._prefetcher.source is not batches:  # an epoch begins
            self._stop_reading_ahead()
            self._prefetcher = Prefetcher(batches, ahead=max(self._plan.accumulation, 2), device=self.args.device)
        return self._prefetcher

    def _stop_reading_ahead(self) -> None:
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None

    def train(self, *args, **kwargs) -> TrainOutput:
        try:
            return super().train(*args, **kwargs)
        finally:  # also after an error, --max_steps or Ctrl-C
            self._stop_reading_ahead()

    # ---- optimizer

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        wanted = model or self.model
        if self.optimizer is None and self._optimizer_plan is not None:
            self.optimizer = make_optimizer(
                wanted, self._optimizer_plan, self.args, decayed=self.get_decay_parameter_names(wanted),
                usual=lambda: self.get_optimizer_cls_and_kwargs(self.args, wanted))
        optimizer = self.optimizer or super().create_optimizer(model)
        if not (self.is_deepspeed_enabled or self.is_fsdp_enabled) and self.accelerator.scaler is None:
            self._guard = guard_of(optimizer, self.args.device, self.args.max_grad_norm, self._plan.world)
        return optimizer

    # ---- loss

    def compute_loss(self, model: nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False,
                     num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
        """This micro-batch's share of the step's loss.

        DDP and DeepSpeed average gradients over ranks, so the share is multiplied by their number.
        """
        parts = self._loss_parts(model, inputs, counts_accuracy=self.state.global_step % self._accuracy_steps == 0)
        tokens = num_items_in_batch if num_items_in_batch is not None else trained_tokens(inputs).clamp(min=1)
        self._meter.add(parts, inputs)
        loss = parts.weighted_nll
        if self._step_hook is not None:  # by tokens, so that it counts once in a step however that is cut
            loss = loss + self._step_hook.penalty() * trained_tokens(inputs)
        return loss * (self._plan.world / tokens)

    def step_was_made(self) -> bool:
        """Whether the last optimizer step changed weights; with fp16 one whose gradients overflow does not."""
        return not self.accelerator.optimizer_step_was_skipped

    def _loss_parts(self, model: nn.Module, inputs: dict[str, torch.Tensor], counts_accuracy: bool) -> LossParts:
        if self._tries_head:
            self._tries_head = False
            problem = disagreement(model, self._head, with_gradient=False)
            if problem is not None:  # it stays where it is and gives logits: hooks were put on it
                logger.warning('The loss is computed from whole logits: %s.', problem)
                self._head = None
        return causal_lm_loss(model, inputs, head_takes_positions=self._head_takes_positions, head=self._head,
                              accuracy=self._accuracy if counts_accuracy else None)

    def training_step(self, model: nn.Module, inputs: dict[str, torch.Tensor],
                      num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
        self._meter.mark(counts=False)
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        except (torch.OutOfMemoryError, RuntimeError) as e:
            if not _is_out_of_memory(e):
                raise
            raise SwiftError(_out_of_memory_text(inputs, self.state.global_step, self._plan)) from e
        self._meter.mark()
        self._losses.append(loss)
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> torch.Tensor | float | None:
        """Scale the gradient down; the guarded optimizer does so while it steps."""
        return None if self._guard is not None else super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: torch.Tensor | float | None = None) -> torch.Tensor | float:
        """The gradient's norm, known here for every back end just before the optimizer steps.

        Raises:
            NonFiniteError: the loss or the gradient is NaN or Inf, of this step or (see :mod:`swift.trainers.guard`)
                of the one before; the weights are still those of the last good step.
        """
        step = self.state.global_step + 1
        losses, self._losses = torch.stack(self._losses), []
        if self._guard is not None:
            return self._guard.before_step(losses, step)
        norm = super()._get_grad_norm(model, grad_norm)
        if not torch.isfinite(losses).all():
            raise not_finite('loss', losses.sum().item(), step)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            self._overflows += 1
            if self.accelerator.scaler is None or self._overflows > _FP16_OVERFLOWS_IN_A_ROW:
                raise not_finite('gradient', float(norm), step)
        else:
            self._overflows = 0
        return norm

    def check_steps(self) -> None:
        """Look at the last step, where that has not been done yet.

        Raises:
            NonFiniteError: it was left out, because its loss or gradient is NaN or Inf.
        """
        if self._guard is not None:
            self._guard.check()

    def _save_checkpoint(self, model: nn.Module, trial: None) -> None:
        self.check_steps()
        super()._save_checkpoint(model, trial)

    # ---- evaluation

    @torch.no_grad()
    def evaluation_loop(self, dataloader: DataLoader, description: str, prediction_loss_only: bool | None = None,
                        ignore_keys: list[str] | None = None, metric_key_prefix: str = 'eval') -> EvalLoopOutput:
        """Token-weighted loss and accuracy. Memory doesn't grow with the rows: four sums are kept."""
        self.check_steps()
        # Under DDP the bare model: its forward must not wait for other ranks. ZeRO-3 and FSDP need theirs.
        sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled
        model = self.model_wrapped if sharded else self.accelerator.unwrap_model(self.model)
        model.eval()
        sums = torch.zeros(4, dtype=torch.float64, device=self.args.device)
        for batch in dataloader:
            batch = self._prepare_inputs(batch)
            with self.compute_loss_context_manager():
                parts = self._loss_parts(model, batch, counts_accuracy=True)
            sums += torch.stack([parts.weighted_nll, trained_tokens(batch), parts.correct, parts.total]).double()
        if self._plan.world > 1:
            sums = self.accelerator.reduce(sums, reduction='sum')
        nll, tokens, correct, total = sums.tolist()
        metrics = {f'{metric_key_prefix}_loss': nll / max(tokens, 1),
                   f'{metric_key_prefix}_{self.accuracy_name}': correct / max(total, 1)}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(dataloader.dataset))

    # ---- what is logged

    @property
    def accuracy_name(self) -> str:
        return 'token_acc' if self._accuracy == 'token' else 'seq_acc'

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to a training row what happened since the last one: accuracy, speed, memory, time that remains."""
        self.check_steps()  # the end of training is logged, too
        if 'loss' in logs:
            span = self._meter.close(self._sum_over_processes)
            if span.total:
                logs[self.accuracy_name] = span.correct / span.total
            logs |= log_row(span, self._meter.device, self._plan.world) | self._memory() | {
                'global_step/max_steps': f'{self.state.global_step}/{self.state.max_steps}'}
        super().log({key: round(value, 8) if isinstance(value, float) else value for key, value in logs.items()},
                    start_time)

    def _sum_over_processes(self, sums: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(sums, reduction='sum') if self._plan.world > 1 else sums

    def _memory(self) -> dict[str, float]:
        """Peak memory of this process, and what of it is known; the rest of an accelerator's are activations."""
        row = {'memory(GiB)': memory_gib(self.args.device)}
        if self.is_deepspeed_enabled:  # its optimizer keeps parameters and states where only it knows
            return row
        held = held_bytes(self.model, self.optimizer, gradients=self._gradients_whole)
        row |= {'memory_weights(GiB)': held.weights / GIB, 'memory_gradients(GiB)': held.gradients / GIB,
                'memory_optimizer(GiB)': held.optimizer / GIB}
        if self.args.device.type != 'cpu':
            rest = torch.accelerator.max_memory_allocated(self.args.device) - sum(astuple(held))
            row['memory_activations(GiB)'] = max(rest, 0) / GIB
        return row


def memory_gib(device: torch.device) -> float:
    """Peak memory of this process: of its accelerator, or of the process itself on a CPU."""
    if device.type == 'cpu':
        import resource  # not on Windows, where a CPU run goes without this figure

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return torch.accelerator.max_memory_reserved(device) / 2**30


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _out_of_memory_text(batch: dict[str, torch.Tensor], step: int, plan: StepPlan) -> str:
    lengths = batch['lengths'].tolist()
    if plan.pack_length is not None and plan.batch_size == 1 and len(lengths) > 1:
        advice = (f'--gradient_checkpointing true, or fewer than {plan.pack_length} tokens in --max_tokens_per_batch '
                  f'(--packing_length, --max_length)')
    elif len(lengths) > 1:
        rows = plan.batch_size if plan.pack_length is not None else len(lengths)
        advice = (f'--per_device_train_batch_size {max(rows // 2, 1)} with '
                  f'--gradient_accumulation_steps {plan.accumulation * 2} (the same step, less at once)')
    else:
        advice = f'--recompute full, or a --max_length below {max(lengths)}'
    return (f'Out of memory in step {step + 1}: a batch of {len(lengths)} rows, {sum(lengths)} tokens, '
            f'the longest row {max(lengths)} tokens. Cheapest change: {advice}.')
