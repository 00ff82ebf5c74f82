"""The two sides of ``gpu.py``, each a function that trains one recipe under a :class:`Probe`.

``plain`` is a bare loop over transformers + peft + Liger as a careful user would write it; it shares no code with
swift. ``swift`` is the project's own path from arguments to ``SwiftTrainer.train()``; only the model is made of random
numbers on the device instead of being read.
"""

from __future__ import annotations

import dataclasses
import gc
import inspect
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AttentionInterface, AutoModelForCausalLM, Qwen2Config, TrainerCallback

from scripts.benchmark import gpu_profile
from scripts.benchmark.gpu_recipes import (
    ALPHA,
    PAD,
    PEAK_FLOPS,
    RANK,
    Recipe,
    document_lengths,
    documents,
    flops_per_token,
    packed_steps,
)

CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')
DTYPE = torch.bfloat16 if CUDA else torch.float32
_PROFILED = 3
_VARLEN = 'benchmark_varlen'


@dataclasses.dataclass(frozen=True)
class Length:
    """Steps of a run: those before the clock, those on it, and those under the profiler."""

    warmup: int
    measured: int
    profiled: int = 0

    @property
    def steps(self) -> int:
        return self.warmup + self.measured + self.profiled


class Probe:
    """Marks the start of every step on the device's own clock; behind the measured steps it may start a profiler.

    ``tokens`` and ``losses`` are filled by the side, one entry a step (losses: the first and the last).
    """

    def __init__(self, length: Length) -> None:
        self.length = length
        self.tokens: list[int] = []
        self.losses: list[float] = []
        self._marks: list[torch.cuda.Event | float] = []
        self._wall: list[float] = []
        self._profiler: torch.profiler.profile | None = None

    def start(self) -> None:
        """A step begins, or the last one is over."""
        done = len(self._marks)
        if CUDA:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())
        self._wall.append(time.perf_counter())
        if self.length.profiled and done == self.length.warmup + self.length.measured:
            self._synchronize()
            self._profiler = torch.profiler.profile(record_shapes=True)
            self._profiler.start()
        if self._profiler is not None and done == self.length.steps:
            self._synchronize()
            self._profiler.stop()

    def figures(self, recipe: Recipe, lengths: list[int]) -> dict[str, Any]:
        self._synchronize()
        first, end = self.length.warmup, self.length.warmup + self.length.measured
        if len(self._marks) <= end:
            raise RuntimeError(f'{len(self._marks) - 1} steps ran, {end} were wanted.')
        spans = [self._milliseconds(n) for n in range(first, end)]
        tokens = sum(self.tokens[first:end])
        speed = tokens / sum(spans) * 1e3
        found = {
            'tokens_per_second': round(speed, 1),
            'mfu': round(100 * flops_per_token(recipe, lengths) * speed / PEAK_FLOPS, 2),
            'step_ms': round(float(np.median(spans)), 2), 'step_ms_min': round(min(spans), 2),
            'tokens_per_step': round(tokens / len(spans)), 'steps': len(spans),
            'first_step_s': round(self._wall[1] - self._wall[0], 2),
            'first_loss': round(self.losses[0], 4), 'last_loss': round(self.losses[-1], 4)}
        if self._profiler is not None:
            found['profile'] = gpu_profile.summary(self._trace(), steps=self.length.profiled,
                                                   step_ms=float(np.median(spans)))
        return found

    def _trace(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'trace.json'
            self._profiler.export_chrome_trace(str(path))
            return json.loads(path.read_text(encoding='utf-8'))

    def _milliseconds(self, step: int) -> float:
        start, end = self._marks[step], self._marks[step + 1]
        return start.elapsed_time(end) if CUDA else 1e3 * (end - start)

    @staticmethod
    def _synchronize() -> None:
        if CUDA:
            torch.cuda.synchronize()


def random_model(recipe: Recipe, attention: str | None) -> torch.nn.Module:
    torch.manual_seed(0)
    chosen = {'attn_implementation': attention} if attention else {}
    with DEVICE:
        return AutoModelForCausalLM.from_config(Qwen2Config(**recipe.shape), dtype=DTYPE, **chosen)


# --------------------------------------------------------------------------------------------------------------- plain

def varlen(module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, *,
           scaling: float, cu_seq_lens_q: torch.Tensor, max_length_q: int, **kwargs: Any) -> tuple[torch.Tensor, None]:
    """Attention inside documents for transformers: q [1, Hq, T, d], k and v [1, Hk, T, d] -> [1, T, Hq, d].

    FlashAttention 2 as PyTorch ships it; on a CPU (dry runs) one document after the other.
    """
    if CUDA:
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        return _varlen_attention(q, k, v, cu_seq_lens_q, max_length_q, scaling)[None], None
    ends = cu_seq_lens_q.tolist()
    parts = [F.scaled_dot_product_attention(query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], scale=scaling,
                                            is_causal=True, enable_gqa=True)
             for a, b in zip(ends[:-1], ends[1:], strict=True)]
    return torch.cat(parts, 2).transpose(1, 2), None


def _varlen_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, ends: torch.Tensor, longest: int,
                      scale: float) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # 2.11 has a switch for causal, 2.13 a window instead and asks whether heads are grouped
    known = inspect.signature(varlen_attn).parameters
    options: dict[str, Any] = {'is_causal': True} if 'is_causal' in known else {'window_size': (-1, 0)}
    if 'enable_gqa' in known:
        options['enable_gqa'] = True
    return varlen_attn(q, k, v, ends, ends, longest, longest, scale=scale, **options)


def plain_batches(recipe: Recipe, lengths: list[int], steps: int) -> list[dict[str, Any]]:
    """Whole micro-batches, made beforehand: all rows of a step in one line, where documents end given once."""
    ids = list(documents(lengths))
    batches = []
    for numbers in packed_steps(recipe, lengths, steps):
        sizes = [lengths[number] for number in numbers]
        line = torch.tensor([[token for number in numbers for token in ids[number]]])
        positions = torch.cat([torch.arange(size) for size in sizes])[None]
        ends = torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int32)
        batches.append({'input_ids': line, 'labels': line.masked_fill(positions == 0, -100), 'position_ids': positions,
                        'cu_seq_lens_q': ends, 'cu_seq_lens_k': ends,
                        'max_length_q': max(sizes), 'max_length_k': max(sizes)})
    return batches


def plain(recipe: Recipe, options: Mapping[str, str], probe: Probe, lengths: list[int]) -> dict[str, Any]:
    """transformers + peft + Liger, fused AdamW, packed rows; ``liger=false`` leaves Liger out."""
    unknown = sorted(set(options) - {'liger', 'compile'})
    if unknown:
        raise ValueError(f'the plain side takes liger and compile, got {", ".join(unknown)}')
    AttentionInterface.register(_VARLEN, varlen)
    model = random_model(recipe, _VARLEN)
    liger = options.get('liger', 'true') == 'true' and CUDA
    if liger:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model)
    if recipe.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={'use_reentrant': False})
    if not recipe.full:
        from peft import LoraConfig, get_peft_model

        if recipe.recompute:
            model.enable_input_require_grads()
        model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0,
                                                 target_modules='all-linear', task_type='CAUSAL_LM'))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-5 if recipe.full else 2e-4, weight_decay=0.0, fused=CUDA)
    forward = torch.compile(model) if options.get('compile') == 'true' else model
    batches = plain_batches(recipe, lengths, probe.length.steps)
    losses = []
    for batch in batches:
        probe.start()
        probe.tokens.append(batch['input_ids'].numel())
        batch = {name: value.to(DEVICE, non_blocking=True) if isinstance(value, torch.Tensor) else value
                 for name, value in batch.items()}
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=CUDA):
            loss = forward(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    probe.start()
    probe.losses = [float(loss) for loss in losses]
    return {'says': [] if liger else ['without Liger' + ('' if CUDA else ', which has no kernels for a CPU')]}


# --------------------------------------------------------------------------------------------------------------- swift

class Rows(torch.utils.data.Dataset):
    """Documents as encoded rows, every token trained."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = np.array(lengths)
        self._ids = [np.array(ids, dtype=np.int32) for ids in documents(lengths)]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        ids = self._ids[number]
        return {'input_ids': ids, 'weights': np.ones(len(ids), dtype=np.float32)}


class Marks(TrainerCallback):
    """Tells the probe when steps begin and when the last one is over, before it is logged."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._probe.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            self._probe.start()


class Said(logging.Handler):
    """Keeps what swift's logger says: which kernels are in force."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage()[:300])


def swift_flags(recipe: Recipe, options: Mapping[str, str], lengths: list[int], steps: int, folder: str) -> list[str]:
    """The command line of ``swift sft``.

    ``base=default`` types nothing about speed: only what makes the work the recipe's. Otherwise the tokens of a step,
    recomputing and no dropout are typed, too. Every other option is a flag of ``swift sft``.
    """
    from swift.llm.args.commands import SftArguments
    from swift.llm.args.parser import flags

    known, options = flags(SftArguments), dict(options)
    typed = {'model': 'random', 'dataset': 'random', 'split_dataset_ratio': '0', 'max_length': str(recipe.row),
             'tuner_type': 'full' if recipe.full else 'lora', 'learning_rate': '2e-5' if recipe.full else '2e-4',
             'lr_scheduler_type': 'constant', 'warmup_ratio': '0', 'weight_decay': '0', 'max_steps': str(steps),
             'save_strategy': 'no', 'report_to': 'none', 'disable_tqdm': 'true', 'output_dir': folder, 'seed': '1'}
    if not recipe.full:
        typed |= {'lora_rank': str(RANK), 'lora_alpha': str(ALPHA), 'target_modules': 'ALL'}
    if options.pop('base', 'tuned') != 'default':
        typed |= {'gradient_accumulation_steps': '1', 'recompute': 'full' if recipe.recompute else 'light',
                  'max_tokens_per_batch': str(recipe.tokens)}
        if not recipe.full:
            typed['lora_dropout'] = '0'
    short = {'dropout': 'lora_dropout'}
    typed |= {name if name in known else short.get(name, name): value for name, value in options.items()}
    return [word for name, value in typed.items() for word in (f'--{name}', value)]


def trainer_of(flags: list[str], make_model: Callable[[str | None], torch.nn.Module], rows: Any, eval_rows: Any,
               tokenizer: Any, run_dir: Path) -> Any:
    """The trainer of a command line, as ``swift sft`` makes it.

    Args:
        make_model: from the attention implementation that was chosen to a model on its device.
    """
    from swift.llm.args.commands import SftArguments, parse
    from swift.llm.args.derive import effective
    from swift.llm.model.adapt import adapt, step_hook
    from swift.llm.model.device import choose_attention
    from swift.trainers.build import build_trainer
    from swift.trainers.optimizers import OptimizerPlan
    from swift.trainers.recompute import wants_recompute

    args = effective(parse(SftArguments, flags)[0])
    model = make_model(choose_attention(args.model.attn_impl))
    dtype = model.dtype
    torch.manual_seed(args.run.seed)
    model = adapt(model, args.tuner, method=args.method,
                  recompute=wants_recompute(args.train.recompute))
    return build_trainer(
        model, tokenizer, rows, eval_rows, args.train, run_dir=run_dir, seed=args.run.seed,
        data_seed=args.data.data_seed, mixed_precision=dtype, padding_free=args.template.padding_free,
        attention=args.model.attn_impl, max_length=args.template.max_length,
        optimizer_plan=OptimizerPlan(args.train.optim, args.optimizing, args.tuner.lorap_lr_ratio,
                                     args.tuner.lorap_emb_lr),
        step_hook=step_hook(model, args.tuner),
        may_regroup=args.explicit.isdisjoint(('per_device_train_batch_size', 'gradient_accumulation_steps')),
        complete_checkpoint=lambda folder: None)


def swift(recipe: Recipe, options: Mapping[str, str], probe: Probe, lengths: list[int]) -> dict[str, Any]:
    """The project's path, from a command line to ``train()``."""
    from swift.utils.logging import get_logger

    said = Said()
    get_logger().addHandler(said)
    try:
        with tempfile.TemporaryDirectory() as folder:
            flags = swift_flags(recipe, options, lengths, probe.length.steps, folder)
            trainer = trainer_of(flags, lambda attention: random_model(recipe, attention), Rows(lengths), None,
                                 _tokenizer(), Path(folder))
            micro_batches: list[int] = []
            together = trainer.data_collator

            def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
                batch = together(rows)
                micro_batches.append(int(batch['num_tokens']))  # in the order of the steps: one thread makes them
                return batch

            trainer.data_collator = collate
            trainer.add_callback(Marks(probe))
            trainer.train()
        parts = trainer.args.gradient_accumulation_steps  # as it was cut: not always as typed
        probe.tokens = [sum(micro_batches[n:n + parts]) for n in range(0, len(micro_batches), parts)]
        probe.losses = [row['loss'] for row in trainer.state.log_history if 'loss' in row]
        return {'command': 'swift sft ' + ' '.join(flags), 'says': said.lines}
    finally:
        get_logger().removeHandler(said)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {f'<{number}>': number for number in range(PAD + 1)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, unk_token='<0>')), pad_token=f'<{PAD}>')


# -------------------------------------------------------------------------------------------------------------- a job

SIDES = {'plain': plain, 'swift': swift}


def attempt(side: str, recipe: Recipe, options: Mapping[str, str], length: Length) -> dict[str, Any]:
    """Train one recipe; what fails is in ``error``. Memory is the peak of tensors less what was there before."""
    started = time.time()
    lengths = document_lengths(recipe, length.steps)
    before = 0
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    try:
        probe = Probe(length)
        found = SIDES[side](recipe, options, probe, lengths) | probe.figures(recipe, lengths)
        if CUDA:
            found['memory_gib'] = round((torch.cuda.max_memory_allocated() - before) / 2 ** 30, 2)
    except Exception as e:  # whatever a side raises is its line of the table
        logging.getLogger(__name__).exception('%s failed', side)
        found = {'error': f'{type(e).__name__}: {str(e)[:300]}'}
    found['wall_s'] = round(time.time() - started, 1)
    gc.collect()
    return found


def about() -> dict[str, Any]:
    """Versions, the device, and what its matmul reaches."""
    import importlib.metadata
    import platform

    found: dict[str, Any] = {'python': platform.python_version()}
    for package in ('torch', 'triton', 'transformers', 'peft', 'accelerate', 'liger-kernel'):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    if not CUDA:
        return found | {'device': f'cpu ({platform.machine()})'}
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    for _ in range(3):
        a @ b
    marks[0].record()
    for _ in range(20):
        a @ b
    marks[1].record()
    torch.cuda.synchronize()
    return found | {'device': torch.cuda.get_device_name(), 'cuda': torch.version.cuda,
                    'matmul_tflops': round(20 * 2 * 8192 ** 3 / marks[0].elapsed_time(marks[1]) / 1e9)}
