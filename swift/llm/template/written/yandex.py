"""YandexGPT 5 Lite of Yandex. Checked against the chat template of yandex/YandexGPT-5-Lite-8B-instruct."""

from __future__ import annotations

from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer

_ASKS = ' Ассистент:[SEP]'


@dataclass(frozen=True)
class YandexGpt:
    """Always ends with the start of an answer.

    Attributes:
        writes_last: write an answer at the end of a conversation behind that. The publisher's template leaves it
            out, as it is made to ask for answers only; training needs it.
    """

    writes_last: bool = False

    def write(self, c: Conversation, w: Writer) -> None:
        w.text('<s>')
        if c.tools:
            _write_tools(c, w)
        for turn in c.turns:
            if turn.role == 'user':
                w.text(' Пользователь: ')
                w.said(turn)
                w.text('\n\n')
            elif turn.role == 'tool':
                w.text('\n\nРезультат вызова ')
                w.said(turn, turn.name or '')
                w.text(': ')
                w.said(turn)
                w.text(' \n\n')
            elif turn.role == 'assistant':
                self._write_answer(c, w, turn)
        if c.turns and not (self.writes_last and c.turns[-1].role == 'assistant'):
            w.text(_ASKS)

    def _write_answer(self, c: Conversation, w: Writer, turn: Turn) -> None:
        is_last = c.following(turn) is None
        if is_last and not self.writes_last:
            return
        w.text(_ASKS if is_last else ' Ассистент: ')
        w.begin(turn)
        w.said(turn)
        w.text('</s>' if is_last else '')
        w.end()
        w.text('' if is_last else '\n\n')


def _write_tools(c: Conversation, w: Writer) -> None:
    w.text('Тебе доступны следующие функции:')
    for tool in c.tools:
        function = tool['function']
        w.text("\nfunction {'name':'")
        w.data(str(function['name']))
        w.text("',")
        if function.get('description'):
            w.text("'description':'")
            w.data(str(function['description']))
            w.text("',")
        w.text("'parameters':")
        w.data(tojson(function.get('parameters')))
        w.text('}')
    w.text('\n\n')


write_yandexgpt = YandexGpt().write
write_yandexgpt_answers = YandexGpt(writes_last=True).write
