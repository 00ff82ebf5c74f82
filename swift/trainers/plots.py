"""Curves of a run as PNG files. Knows only the rows that were logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_CURVES = ('loss', 'eval_loss', 'learning_rate', 'grad_norm', 'token_acc', 'eval_token_acc', 'seq_acc', 'eval_seq_acc',
           'tokens_per_second')
_SMOOTHED = ('loss',)


def smooth(values: list[float], weight: float = 0.9) -> list[float]:
    """Exponential mean with bias correction: ``s_t = (w s_{t-1} + (1 - w) v_t)``, shown as ``s_t / (1 - w^t)``."""
    mean, shown = 0.0, []
    for count, value in enumerate(values, 1):
        mean = weight * mean + (1 - weight) * value
        shown.append(mean / (1 - weight**count))
    return shown


def draw_curves(history: list[dict[str, Any]], folder: Path) -> list[Path]:
    """One picture for each figure that was logged at least once, 8 x 5 inches; returns the files written."""
    from matplotlib.figure import Figure  # 0.5 s of import that a run without pictures need not pay

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in _CURVES:
        points = [(row['step'], row[name]) for row in history if name in row]
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        figure = Figure(figsize=(8, 5), dpi=100)
        axes = figure.add_subplot(title=name, xlabel='step', ylabel=name)
        axes.plot(steps, values, color='#9ecae1' if name in _SMOOTHED else '#2171b5', marker='.')
        if name in _SMOOTHED:
            axes.plot(steps, smooth(list(values)), color='#2171b5', label='smoothed 0.9')
            axes.legend()
        axes.grid(alpha=0.3)
        path = folder / f'{"train_" if name == "loss" else ""}{name}.png'
        figure.savefig(path)
        written.append(path)
    return written
