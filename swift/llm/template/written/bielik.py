"""Bielik of SpeakLeash. Checked against the chat template that the docstring names."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer


def write_bielik_v3(c: Conversation, w: Writer) -> None:
    """Bielik-11B-v3.0-Instruct: ChatML in Polish; ``enable_thinking`` asks for thinking, which all answers keep.
    With a system message, results are closed only at the end of the conversation, as published."""
    thinks = bool(c.options.get('enable_thinking'))
    w.text(c.bos)
    _write_system(c, w, thinks)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'user':
            w.text('<|im_start|>user\n')
            w.said(turn)
            w.text('<|im_end|>\n')
        elif turn.role == 'assistant':
            _write_answer(c, w, turn, thinks)
        elif turn.role == 'tool':
            # The published template looks for its neighbours without counting the system message in front.
            place = turn.index - bool(c.system)
            is_last = turn.index == len(c.turns) - 1
            w.text('<|im_start|>user\n' if place == 0 or c.turns[place - 1].role != 'tool' else '')
            w.text('<|function_output|>')
            w.said(turn)
            w.text('<|im_end|>\n' if is_last or c.turns[place + 1].role != 'tool' else '')
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')
        if c.prompts_empty(False):
            w.text('<think>\n\n</think>\n')
        elif c.prompts_thinking(thinks):
            w.text('<think>\n')


def _write_system(c: Conversation, w: Writer, thinks: bool) -> None:
    if not c.tools and (c.system is None or not c.system.content):
        return
    w.text('<|im_start|>system\n')
    if c.system is not None:
        w.said(c.system)
    if c.tools:
        w.text('\n\nMasz dostęp do następujących narzędzi. Definicje narzędzi znajdują się poniżej wewnątrz znaczników '
               '<|function_list|>:\n<|function_list|>\n[')
        for i, tool in enumerate(c.tools):
            w.text(',\n' if i else '')
            w.data(tojson(tool))
        w.text(']\n<|function_list|>\n\nAby wywołać narzędzie, użyj formatu <tool_call>{"name": "nazwa_narzędzia", '
               '"arguments": {"argument": "wartość"}}</tool_call>. Wyniki działania narzędzi zostaną przekazane z '
               'markerem <|function_output|>.\n')
    w.text(_THINK if thinks else '')
    w.text('<|im_end|>\n')


def _write_answer(c: Conversation, w: Writer, turn: Turn, thinks: bool) -> None:
    reasoning, content = turn.reasoning or '', turn.content
    if not reasoning and '<think>' in content and '</think>' in content:
        head, *rest = content.split('</think>')
        reasoning, content = head.split('<think>')[-1], '</think>'.join(rest)
    w.text('<|im_start|>assistant\n')
    if reasoning and c.shows_reasoning(turn, True):
        if not c.prompts_thinking(thinks):
            w.begin(turn)
        w.text('<think>\n')
        if c.prompts_thinking(thinks):
            w.begin(turn)
        w.said(turn, reasoning.strip())
        w.text('\n</think>\n')
    else:
        w.text('<think>\n\n</think>\n' if c.writes_empty(turn, False) else '')
        w.begin(turn)
    w.said(turn, content.lstrip())
    for call in turn.calls:
        w.text('\n<tool_call>\n{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}\n</tool_call>')
    w.text('<|im_end|>')
    w.end()
    w.text('\n')


_THINK = (
    '\n\nZanim odpowiesz na pytanie, najpierw przemyśl swoje kroki i umieść swoje myśli wewnątrz tagów '
    '<think>...</think>. Musisz najpierw pomyśleć, zanim udzielisz odpowiedzi. WAŻNE: Powinieneś myśleć w tym samym '
    'języku, co pytanie użytkownika. Jeśli pytanie jest zadane po polsku, powinieneś również myśleć po polsku. Jeśli '
    'pytanie jest po angielsku, myślisz również po angielsku itd. ** PAMIĘTAJ! ** Pytanie po polsku -> myślenie po '
    'polsku -> odpowiedź po polsku!*** BARDZO WAŻNE!!! *** Jesteś Bielikiem, polskim modelem językowym. Twoją główną '
    'cechą jest umiejętność pisania po polsku. Jeśli użytkownik zadaje Ci pytania po polsku, ZAWSZE odpowiadaj po '
    'polsku. Nawet, jeśli korzystasz z narzędzia, którego większość instrukcji jest po angielsku, powinieneś przede '
    'wszystkim odpowiadać po polsku, jeśli użytkownik zadaje pytanie w tym języku. ')
