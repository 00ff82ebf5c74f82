"""A tokenised row for human eyes: token by token, trained and untrained told apart by colour and by brackets.

Knows tokens and weights only; prints nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from swift.llm.template.encode import Template
from swift.llm.template.segments import KINDS
from swift.llm.template.tokens import Encoded

_GREEN, _GREY, _RESET = '\033[32m', '\033[90m', '\033[0m'
_LONGEST = 48  # tokens of a run that are shown; the middle of a longer one is left out


@dataclass(frozen=True)
class _Token:
    id: int
    text: str
    weight: float
    kind: str


def preview(encoded: Encoded, template: Template, color: bool) -> str:
    """The tokens of one row as text of several lines.

    Every run of tokens of one weight and one author is a line: ``[[trained]]`` or ``  untrained  ``, the author,
    the number of tokens, and the tokens as ``text·id``.

    Args:
        encoded: the row.
        template: the one that encoded it.
        color: use ANSI colours; see ``utils.env.wants_color``.
    """
    tokens = list(_tokens(encoded, template))
    trained = sum(token.weight != 0 for token in tokens)
    lines = [f'{len(tokens)} tokens, [[trained]] {trained}, untrained {len(tokens) - trained}; each token as text·id']
    run: list[_Token] = []
    for token in tokens:
        if run and (token.weight, token.kind) != (run[-1].weight, run[-1].kind):
            lines.append(_line(run, color))
            run = []
        run.append(token)
    if run:
        lines.append(_line(run, color))
    return '\n'.join(lines)


def _tokens(encoded: Encoded, template: Template) -> Iterator[_Token]:
    for t, token in enumerate(encoded.input_ids.tolist()):
        text = template.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        kind = '' if encoded.kinds is None else KINDS[encoded.kinds[t]]
        yield _Token(token, text, float(encoded.weights[t]), kind)


def _line(run: list[_Token], color: bool) -> str:
    weight = run[0].weight
    shown = [f'{repr(token.text)[1:-1]}·{token.id}' for token in run]
    if len(shown) > _LONGEST:
        half = _LONGEST // 2
        shown = [*shown[:half], f'... {len(shown) - 2 * half} more ...', *shown[-half:]]
    text = ' '.join(shown)
    if weight:
        text = f'[[{text}]]'
    label = f'{"trained" if weight else "untrained":9} {run[0].kind:9} {len(run):5} '
    if weight not in (0, 1):
        label += f'x{weight:g} '
    line = label + text
    return f'{_GREEN if weight else _GREY}{line}{_RESET}' if color else line
