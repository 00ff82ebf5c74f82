"""Hunyuan of Tencent. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.glm import HY3
from swift.llm.template.dialects.hunyuan import write_pair_calls, write_pair_tools
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.utils.errors import RowError

_EFFORTS = ('high', 'low', 'no_think')
_THINK, _CLOSE = '<think:opensource>', '</think:opensource>'
_EOS = '<｜hy_eos:opensource｜>'


def write_hy3(c: Conversation, w: Writer) -> None:
    """Hy3: system texts from everywhere stand in front; with tools all thinking stays, else that of the last round.

    The publisher's template ends an answer at the very end of a conversation with nothing, unless ``is_training``.
    """
    effort = _effort(c)
    w.text('<｜hy_begin_of_sentence:opensource｜>')
    systems = [turn for turn in c.turns if turn.role == 'system']
    for turn in systems:
        w.said(turn)
    if c.tools:
        w.text('\n\n' if any(turn.content for turn in systems) else '')
        write_pair_tools(w, c.tools, HY3)
    w.text(f'<｜reasoning_mode:opensource｜>reasoning_effort:{effort}')
    after_results, results_open = False, False
    for turn in c.turns:
        if turn.role == 'tool':
            w.text('' if results_open else '<tool_responses:opensource>\n')
            after_results = results_open = True
            w.text('<tool_response:opensource>\n')
            w.said(turn)
            w.text('\n</tool_response:opensource>\n')
        elif turn.role != 'system':
            w.text('</tool_responses:opensource>' if after_results else '')
            after_results = False
            if turn.role == 'assistant':
                _write_hy3_answer(c, w, turn, effort)
                results_open = results_open and not turn.calls
            else:
                w.text('<｜hy_User:opensource｜>')
                w.said(turn)
    w.text('</tool_responses:opensource>' if after_results else '')
    is_answered = bool(c.turns) and c.turns[-1].role == 'assistant'
    if c.add_generation_prompt and not is_answered and not _is_retry(c):
        w.text('<｜hy_Assistant:opensource｜>' + _hy3_prompt(c, effort))


def _is_retry(c: Conversation) -> bool:
    return c.options.get('fallback_strategy') == 'reasoning_toolcall_retry'


def _effort(c: Conversation) -> str:
    effort = c.options.get('reasoning_effort', 'no_think')
    if effort not in _EFFORTS:
        raise RowError(f'Hy3 knows the reasoning_effort {", ".join(_EFFORTS)}, not {effort!r}')
    return 'high' if _is_retry(c) else effort


def _hy3_prompt(c: Conversation, effort: str) -> str:
    return prompt_ending(c, _THINK, _THINK + _CLOSE, is_thinking=effort != 'no_think', is_empty=effort == 'no_think')


def _write_hy3_answer(c: Conversation, w: Writer, turn: Turn, effort: str) -> None:
    is_last = turn.index == len(c.turns) - 1
    is_training = bool(c.options.get('is_training'))
    is_raw = is_last and bool(c.options.get('raw_last_assistant')) and not turn.calls
    keeps = is_training or bool(c.options.get('preserved_thinking', bool(c.tools)))
    header, prompt = '<｜hy_Assistant:opensource｜>', _hy3_prompt(c, effort)
    if is_raw:
        begin_behind(w, turn, header, prompt, '')
    elif turn.reasoning and c.shows_reasoning(turn, keeps or turn.index > c.last_question):
        begin_behind(w, turn, header, prompt, _THINK)
        w.said(turn, turn.reasoning)
        w.text(_CLOSE)
    else:
        begin_behind(w, turn, header, prompt, _THINK + _CLOSE if c.writes_empty(turn, True) else '')
    w.said(turn)
    if turn.calls:
        write_pair_calls(w, turn, HY3)
    if turn.calls or is_training and not is_raw or not is_last:
        w.text(_EOS)
    w.end()


# -- Hunyuan-A13B ----------------------------------------------------------------------------------------------------

_A13B_HEAD = (
    '你是一位函数组合专家。你会得到一个问题和一组可能的函数。根据问题，你需要进行一个或多个函数/工具调用以实现目的。\n'
    '如果没有一个函数可以使用，请直接使用自然语言回复用户，以助手：开头。\n'
    '如果给定的问题缺少函数所需的参数，请使用自然语言进行提问，向用户询问必要信息，以助手：开头。\n'
    '如果调用结果已经足够回答用户问题，请对历史结果进行总结，使用自然语言回复用户，以助手：开头。\n'
    '你应该只在工具调用部分返回函数调用。如果你决定调用任何函数，你必须将其格式化为'
    '<tool_calls>[{"name": "func_name1", "arguments": {"argument1": "value1", "argument2": "value2"}},...]'
    '</tool_calls>。你不应该在回复中包含任何其他文本。以下是你可以调用的函数列表，格式为JSON。\n\n')
_A13B_FORMAT = (
    '如果你决定返回函数调用，请将其格式化为'
    '<tool_calls>[{"name": "func_name1", "arguments": {"argument1": "value1", "argument2": "value2"}},...]'
    '</tool_calls>，不得包含其他文本。')
_WEEKDAYS = '一二三四五六日'


def write_hunyuan_a13b(c: Conversation, w: Writer) -> None:
    """Hunyuan-A13B as vLLM writes it: with tools every turn names who speaks, without them it is a plain loop."""
    if c.tools:
        for turn in c.turns:
            _write_a13b_turn(c, w, turn)
    else:
        for turn in c.turns:
            _write_a13b_plain(w, turn)
    if c.options.get('enable_thinking') is False:
        w.text('<think>\n\n</think>\n')


def _write_a13b_turn(c: Conversation, w: Writer, turn: Turn) -> None:
    if turn.index == 0 and turn.role in ('system', 'user'):
        _write_a13b_tools(c, w, turn)
        if turn.role == 'system':
            return
    if turn.role == 'user':
        w.text('用户：')
        w.said(turn)
        w.text('<|extra_0|>')
    elif turn.index == 0 or turn.role == 'system':
        w.said(turn)
    elif turn.role == 'tool':
        w.text('<tool_response>')
        w.said(turn)
        w.text('</tool_response><|extra_0|>')
    else:
        w.begin(turn)
        w.text('' if turn.calls else '助手：')
        w.said(turn)
        if turn.calls:
            _write_a13b_calls(w, turn)
        w.text('<|eos|>')
        w.end()


def _write_a13b_calls(w: Writer, turn: Turn) -> None:
    w.text('<tool_calls>[')
    for i, call in enumerate(turn.calls):
        w.text(', {"name": "' if i else '{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}')
    w.text(']</tool_calls>')


def _write_a13b_tools(c: Conversation, w: Writer, turn: Turn) -> None:
    now = f'{c.now:%Y-%m-%d %H:%M:%S} 星期{_WEEKDAYS[c.now.weekday()]}'
    w.text('<|startoftext|>' + _A13B_HEAD)
    w.data(tojson(list(c.tools)))
    w.text('\n\n')
    if turn.role == 'system':
        w.text('额外要求：\n')
        w.said(turn)
        w.text(f'\n\n{_A13B_FORMAT}如果额外要求里有格式要求，请忽略，以此处为准。\n否则，请参考开头说的三种情况，'
               f'以助手：开头进行回复。\n\n如果额外要求里有时间信息，就以额外要求里的时间为准，否则，参考当前时间：{now}')
    else:
        w.text(f'{_A13B_FORMAT}\n否则，请参考开头说的三种情况，以助手：开头进行回复。\n\n当前时间：{now}')
    w.text('<|extra_4|>')


def _write_a13b_plain(w: Writer, turn: Turn) -> None:
    if turn.index == 0 and not turn.content:
        raise RowError('Hunyuan-A13B takes no conversation whose first message is empty')
    if turn.role == 'system':
        w.text('' if turn.index else '<|startoftext|>')
        w.said(turn)
        w.text('' if turn.index else '<|extra_4|>')
    elif turn.role == 'assistant':
        w.begin(turn)
        w.said(turn)
        w.text('<|eos|>')
        w.end()
    else:
        w.text('<|startoftext|>' if turn.role == 'user' and turn.index != 1 else '')
        w.said(turn)
        w.text('<|extra_0|>')
