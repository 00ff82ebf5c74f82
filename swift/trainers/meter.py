"""What a run does with its time and memory: sums over the steps since the last logged row, and figures from them.

Nothing here waits for the device between two logged rows: tensors are kept as they are and read together when a row is
written. It knows batches as :func:`swift.llm.template.collate.collate` makes them, and nothing of models or losses.

How far the GPU is behind: marks are CUDA events with the CPU's time at which they were queued. When a row is written
the two clocks are known at two moments at which the GPU had nothing to do, so each mark's time on the GPU is known on
the CPU's clock. A mark that the GPU passes (almost) at once found it idle: the time before it went by at the pace of
the CPU, which launches kernels, and not of the GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import Protocol

import numpy as np
import torch

from swift.trainers.flops import TokenWork
from swift.trainers.hardware import Device
from swift.trainers.loss import LossParts

_MARKED_STEPS = 4  # marks are set in every so many steps
# A GPU that keeps up with the CPU is behind by the kernels that were queued last, and by what clocks are compared to
_BEHIND_SECONDS, _BEHIND_SHARE = 2e-4, 0.05


@dataclass(frozen=True)
class Span:
    """What happened in some steps; counts are those of all processes, seconds those of this one.

    Attributes:
        correct, total: right predictions and of how many.
        tokens: of rows; ``trained``: those that the loss is over; ``positions``: what the model was run on.
        flops: that training these tokens needs; ``recomputed``: what was computed twice beside.
        seconds: of steps, without evaluation and saving; ``waited``: of these, for rows.
        steps, micro_batches: how many.
        launched, marked: GPU seconds between marks, those at the CPU's pace and all; 0 where there are no marks.
    """

    correct: float = 0.0
    total: float = 0.0
    tokens: float = 0.0
    trained: float = 0.0
    positions: float = 0.0
    flops: float = 0.0
    recomputed: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    steps: int = 0
    micro_batches: int = 0
    launched: float = 0.0
    marked: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def launch_bound(self) -> float | None:
        """Share of the time at the pace of the CPU; None where it isn't known."""
        return self.launched / self.marked if self.marked > 0 else None

    def mfu(self, peak: float | None, processes: int = 1) -> float | None:
        """Model FLOPs utilisation: FLOPs that training needed, over those that ``processes`` devices could do."""
        return self.flops / (self.seconds * peak * processes) if peak and self.flops and self.seconds else None


def log_row(span: Span, device: Device | None, processes: int = 1) -> dict[str, float]:
    """The columns of ``logging.jsonl`` that a span gives; those that aren't known are left out."""
    seconds = max(span.seconds, 1e-9)
    row = {'tokens': int(span.tokens), 'tokens_per_second': span.tokens / seconds,
           'trained_tokens_per_second': span.trained / seconds,
           'padding(%)': 100 * (1 - span.tokens / span.positions) if span.positions else 0.0,
           'data_wait(%)': 100 * span.waited / seconds}
    shares = {'launch_bound(%)': span.launch_bound,
              'mfu(%)': span.mfu(device.datasheet, processes) if device else None,
              'mfu_measured(%)': span.mfu(device.measured, processes) if device else None}
    return row | {name: 100 * share for name, share in shares.items() if share is not None}


class Marks(Protocol):
    """Moments of a run, on the clocks of CPU and device."""

    def start(self) -> None:
        """Set both clocks, if they aren't: waits for the device, which has nothing to do then."""

    def mark(self, *, counts: bool) -> None:
        """Note this moment; with ``counts`` the time since the mark before belongs to training."""

    def read(self) -> tuple[float, float]:
        """Seconds at the CPU's pace and all seconds between marks that count; forgets them."""


class CudaMarks:
    """Marks in the stream of a GPU. Setting one takes some microseconds of the CPU and none of the GPU."""

    def __init__(self) -> None:
        self._zero: tuple[torch.cuda.Event, float] | None = None
        self._points: list[tuple[torch.cuda.Event, float, bool]] = []

    def start(self) -> None:
        if self._zero is None:
            self._zero = self._both_clocks()

    def mark(self, *, counts: bool) -> None:
        event = torch.cuda.Event(enable_timing=True)
        now = time.perf_counter()
        event.record()
        self._points.append((event, now, counts))

    def read(self) -> tuple[float, float]:
        zero, points, self._zero, self._points = self._zero, self._points, None, []
        if zero is None or not points:
            return 0.0, 0.0
        end = self._both_clocks()
        # The two clocks run apart by some millionths, which in a minute is as much as what is looked for
        pace = (end[1] - zero[1]) / (zero[0].elapsed_time(end[0]) / 1e3)
        on_gpu = [zero[0].elapsed_time(event) / 1e3 * pace for event, _, _ in points]
        on_cpu = [now - zero[1] for _, now, _ in points]
        return at_the_pace_of_the_cpu(on_gpu, on_cpu, [counts for _, _, counts in points])

    @staticmethod
    def _both_clocks() -> tuple[torch.cuda.Event, float]:
        torch.cuda.current_stream().synchronize()
        event = torch.cuda.Event(enable_timing=True)
        now = time.perf_counter()
        event.record()
        event.synchronize()
        return event, now


class NoMarks:
    """On a device that computes when it is told, or whose events aren't known: nothing is measured."""

    def start(self) -> None:
        pass

    def mark(self, *, counts: bool) -> None:
        pass

    def read(self) -> tuple[float, float]:
        return 0.0, 0.0


def at_the_pace_of_the_cpu(on_gpu: Sequence[float], on_cpu: Sequence[float],
                           counts: Sequence[bool]) -> tuple[float, float]:
    """Seconds between marks of which the GPU passed the second as soon as it was queued, and all seconds between marks.

    As soon: within 0.2 ms and a twentieth of the time between the two.

    Args:
        on_gpu, on_cpu: when the GPU passed each mark and when the CPU queued it, on one clock.
        counts: whether the time from the mark before to this one is looked at.
    """
    launched = total = 0.0
    for number in range(1, len(on_gpu)):
        if counts[number]:
            spent = on_gpu[number] - on_gpu[number - 1]
            total += spent
            behind = on_gpu[number] - on_cpu[number]
            launched += spent if behind < _BEHIND_SECONDS + _BEHIND_SHARE * spent else 0.0
    return launched, total


@dataclass
class _Window:
    """Since the last row; tensors stay on their device."""

    seconds: float = 0.0
    waited: float = 0.0
    steps: int = 0
    micro_batches: int = 0
    positions: int = 0
    counts: list[torch.Tensor] = field(default_factory=list)  # right predictions, of how many, tokens
    trained: list[torch.Tensor] = field(default_factory=list)
    lengths: list[torch.Tensor] = field(default_factory=list)


class Meter:
    """Measures a run. The trainer tells it when steps go on and stop, and gives it every micro-batch.

    Args:
        device: peaks to compare with; None compares with nothing.
        work: FLOPs of a token; None knows none.
        recompute: the policy in force, see :meth:`TokenWork.recomputed`.
        processes: that train together.
        marks: where launches are measured.

    Attributes:
        first: the span of the first row, in which kernels are compiled and memory is taken.
        later: all spans after it.
    """

    def __init__(self, device: Device | None = None, work: TokenWork | None = None, *, recompute: str = 'none',
                 processes: int = 1, marks: Marks | None = None) -> None:
        self.device, self.work, self.recompute, self.processes = device, work, recompute, processes
        self.first: Span | None = None
        self.later = Span()
        self._marks = marks or NoMarks()
        self._window = _Window()
        self._running_since: float | None = None
        self._steps = 0

    # ---- the clock

    def go_on(self) -> None:
        """A step begins."""
        if self._running_since is None:
            self._marks.start()
            self._running_since = time.perf_counter()

    def pause(self) -> None:
        """Steps are over for now: evaluation, saving and logging don't count."""
        if self._running_since is not None:
            self._window.seconds += time.perf_counter() - self._running_since
            self._running_since = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, rows are waited for."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._window.waited += time.perf_counter() - begin

    def mark(self, *, counts: bool = True) -> None:
        """Between launches, in some of the steps; see the top of this file."""
        if self._steps % _MARKED_STEPS == 0:
            self._marks.mark(counts=counts)

    # ---- what is trained

    def add_step(self, trained: torch.Tensor) -> None:
        """A step of this process has so many trained tokens (scalar tensor)."""
        self._window.trained.append(trained)

    def add(self, parts: LossParts, batch: dict[str, torch.Tensor]) -> None:
        """A micro-batch was run forward."""
        window = self._window
        window.counts.append(torch.stack([parts.correct, parts.total, batch['num_tokens'].to(parts.total)]))
        window.lengths.append(batch['lengths'])
        window.positions += batch['input_ids'].numel()
        window.micro_batches += 1

    def end_step(self) -> None:
        """All of a step was launched."""
        self.mark()
        self._window.steps += 1
        self._steps += 1
        self.pause()

    # ---- a row

    def close(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> Span:
        """What happened since the last row; reads the device.

        Args:
            reduce: sums a float64 vector over all processes; called on every one of them.
        """
        self.pause()
        window, self._window = self._window, _Window()
        if not window.counts:
            return Span()
        each = torch.stack(window.counts).double()
        counts, trained = each.sum(0), torch.stack(window.trained).double().sum().to(each.device)
        flops = recomputed = 0.0
        counted = each[:, 2].cpu().numpy() > 0  # a micro-batch without tokens only fills a rank
        own = torch.cat(window.lengths).cpu().numpy()[np.repeat(counted, list(map(len, window.lengths)))]
        if self.work is not None:
            flops = self.work.flops(own, float(trained))
            recomputed = self.work.recomputed(own, self.recompute)
        known = torch.tensor([window.positions, flops, recomputed], dtype=torch.float64, device=counts.device)
        sums = reduce(torch.cat([counts, trained[None], known])).tolist()
        correct, total, tokens, trained_tokens, positions, flops, recomputed = sums
        launched, marked = self._marks.read()
        span = Span(correct, total, tokens, trained_tokens, positions, flops, recomputed, window.seconds, window.waited,
                    window.steps, window.micro_batches, launched, marked)
        if self.first is None:
            self.first = span
        else:
            self.later += span
        return span

    def whole(self) -> Span:
        """The run without its first row, or that one where it is all there is."""
        return self.later if self.later.steps else replace(self.first or Span())


def marks_for(device: torch.device) -> Marks:
    return CudaMarks() if device.type == 'cuda' else NoMarks()
