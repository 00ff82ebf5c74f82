"""DeepSeek, from Coder to V4. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written.llama import arguments_of

EOS = '<｜end▁of▁sentence｜>'


def write_deepseek_coder(c: Conversation, w: Writer) -> None:
    """deepseek-coder-instruct: sections in Markdown; a system text stands where its message does."""
    w.text(c.bos)
    if not any(turn.role == 'system' for turn in c.turns):
        w.text(_CODER)
    for turn in c.turns:
        if turn.role == 'system':
            w.said(turn)
        elif turn.role == 'user':
            w.text('### Instruction:\n')
            w.said(turn)
            w.text('\n')
        else:
            w.text('### Response:\n')
            if turn.role == 'assistant':
                w.begin(turn)
            w.said(turn)
            w.text('\n<|EOT|>')
            w.end()
            w.text('\n')
    w.text('### Response:\n' if c.add_generation_prompt else '')


def write_deepseek_v2(c: Conversation, w: Writer) -> None:
    """DeepSeek-LLM and V2: roles in words."""
    w.text(c.bos)
    for turn in c.turns:
        if turn.role == 'assistant':
            w.text('Assistant:')
            w.begin(turn)
            w.text(' ')
            w.said(turn)
            w.text(c.eos)
            w.end()
        elif turn.role in ('user', 'system'):
            w.text('User: ' if turn.role == 'user' else '')
            w.said(turn)
            w.text('\n\n')
    w.text('Assistant:' if c.add_generation_prompt else '')


@dataclass(frozen=True)
class Classic:
    """What differs between the templates of V3 and R1.

    Attributes:
        thinks: whether a prompt ends with the tag that opens the thinking.
        hides: whether thinking in front of an answer, between tags, is left out.
        joins: whether all system texts are written, else only the last one.
        calls: whether calls are written.
        between: what stands between the results of several calls.
        resets: whether every answer opens its calls anew; as published, only the first of a conversation does.
    """

    thinks: bool = True
    hides: bool = True
    joins: bool = True
    calls: bool = True
    between: str = ''
    resets: bool = False


def write_deepseek_r1(c: Conversation, w: Writer) -> None:
    """DeepSeek-R1 (TRL ships it as deepseekv3): a prompt opens the thinking, which earlier answers leave out."""
    _write_classic(c, w, Classic())


def write_deepseek_v3(c: Conversation, w: Writer) -> None:
    """DeepSeek-V3 as its tokenizer shipped: calls are written only where a message has no content at all, which a row
    can't say, so they are left out."""
    _write_classic(c, w, Classic(thinks=False, hides=False, calls=False, between='\n'))


def write_deepseek_v3_axolotl(c: Conversation, w: Writer) -> None:
    """DeepSeek-V3 as Axolotl corrects it: every answer opens its own calls."""
    _write_classic(c, w, Classic(thinks=False, resets=True))


def write_deepseek_r1_distill(c: Conversation, w: Writer) -> None:
    """DeepSeek-R1-Distill (Llama and Qwen) as shipped: like R1, with calls left out as in V3, one system text."""
    _write_classic(c, w, Classic(joins=False, calls=False, between='\n'))


def _write_classic(c: Conversation, w: Writer, d: Classic) -> None:
    w.text(c.bos)
    _write_systems(c, w, d.joins)
    in_results = opened_calls = opened_results = False
    for turn in c.turns:
        if turn.role == 'user':
            in_results = False
            w.text('<｜User｜>')
            w.said(turn)
        elif turn.role == 'assistant' and d.calls and turn.calls:
            if d.resets:
                w.text('<｜tool▁outputs▁end｜>' if in_results else '')
                opened_calls = False
            in_results = False
            _write_classic_calls(c, w, turn, d, opened_calls)
            opened_calls = True
        elif turn.role == 'assistant':
            w.text('<｜tool▁outputs▁end｜>' if in_results else '<｜Assistant｜>')
            _write_classic_answer(c, w, turn, d, in_results)
            w.text(EOS)
            w.end()
            in_results = False
        elif turn.role == 'tool':
            if d.resets and not in_results:
                opened_results = False
            w.text(d.between if opened_results else '<｜tool▁outputs▁begin｜>')
            w.text('<｜tool▁output▁begin｜>')
            w.said(turn)
            w.text('<｜tool▁output▁end｜>')
            in_results = opened_results = True
    if in_results:
        w.text('<｜tool▁outputs▁end｜>')
    elif c.add_generation_prompt:
        w.text('<｜Assistant｜>')
        if d.thinks and c.prompts_empty(False):
            w.text('<think>\n\n</think>\n\n')
        elif d.thinks and c.prompts_thinking(True):
            w.text('<think>\n')


def _write_systems(c: Conversation, w: Writer, joins: bool = True) -> None:
    """The system texts of all places, in front; or the last of them."""
    systems = [turn for turn in c.turns if turn.role == 'system']
    for i, turn in enumerate(systems if joins else systems[-1:]):
        w.text('\n\n' if i else '')
        w.said(turn)


def _says_system(c: Conversation) -> bool:
    """Whether the joined system texts are any text at all; two empty ones are, by what joins them."""
    systems = [turn for turn in c.turns if turn.role == 'system']
    return len(systems) > 1 or any(turn.content for turn in systems)


def _write_classic_calls(c: Conversation, w: Writer, turn: Turn, d: Classic, opened: bool) -> None:
    """Calls with what is said before them; with ``opened``, the bare calls, as if they went on from earlier ones."""
    w.text('' if opened else '<｜Assistant｜>')
    _begin_classic(c, w, turn, d, turn.reasoning or '', prompted=not opened)
    w.said(turn, '' if opened else turn.content)
    _write_calls(w, turn, _write_fenced_call, '\n', opened)
    w.text(EOS)
    w.end()


def _write_calls(w: Writer, turn: Turn, write_call: Callable[[Writer, Turn, Call], None], between: str = '',
                 opened: bool = False) -> None:
    w.text('' if opened else '<｜tool▁calls▁begin｜>')
    for i, call in enumerate(turn.calls):
        w.text(between if i or opened else '')
        w.text('<｜tool▁call▁begin｜>')
        write_call(w, turn, call)
        w.text('<｜tool▁call▁end｜>')
    w.text('<｜tool▁calls▁end｜>')


def _write_fenced_call(w: Writer, turn: Turn, call: Call) -> None:
    w.said(turn, call.raw.get('type', 'function'))
    w.text('<｜tool▁sep｜>')
    w.said(turn, call.name)
    w.text('\n```json\n')
    w.said(turn, call.text)
    w.text('\n```')


def _write_bare_call(w: Writer, turn: Turn, call: Call) -> None:
    w.said(turn, call.name)
    w.text('<｜tool▁sep｜>')
    w.said(turn, call.text)


def _write_classic_answer(c: Conversation, w: Writer, turn: Turn, d: Classic, after_results: bool) -> None:
    reasoning, content = _split(turn)
    is_shown = _begin_classic(c, w, turn, d, reasoning, prompted=not after_results)
    hides = d.hides and not after_results
    w.said(turn, content.lstrip('\n') if is_shown else content if hides else turn.content)


def _begin_classic(c: Conversation, w: Writer, turn: Turn, d: Classic, reasoning: str, prompted: bool) -> bool:
    """Begin an answer, with its thinking where ``--thinking`` asks for it; gives whether it is there."""
    is_shown = d.thinks and bool(reasoning) and c.shows_reasoning(turn, False)
    if not prompted:
        w.begin(turn)
    if is_shown:
        w.text('<think>\n')
    elif d.thinks and prompted and c.writes_empty(turn, False):
        w.text('<think>\n\n</think>\n\n')
    if prompted:
        w.begin(turn)
    if is_shown:
        w.said(turn, reasoning.strip('\n'))
        w.text('\n</think>\n\n')
    return is_shown


def _split(turn: Turn) -> tuple[str, str]:
    """(thinking, answer): the thinking stands apart, or in front of the answer up to its closing tag."""
    head, closed, _ = turn.content.partition('</think>')
    if turn.reasoning or not closed:
        return turn.reasoning or '', turn.content.split('</think>')[-1]
    return head.removeprefix('<think>'), turn.content.split('</think>')[-1]


def write_deepseek_v3_1(c: Conversation, w: Writer) -> None:
    """DeepSeek-V3.1 (vLLM ships it with the tools of the model card): an answer without thinking starts with the tag
    that closes it."""
    _write_v3_1(c, w, '</think>')


def write_deepseek_v3_1_llamacpp(c: Conversation, w: Writer) -> None:
    """DeepSeek-V3.1 as llama.cpp corrects it: no thinking is an empty block, tools are left out."""
    _write_v3_1(c, w, '<think></think>', with_tools=False)


def _write_v3_1(c: Conversation, w: Writer, empty: str, with_tools: bool = True) -> None:
    thinks = bool(c.options.get('thinking', c.options.get('enable_thinking', False)))
    w.text(c.bos)
    _write_systems(c, w)
    if c.tools and with_tools:
        _write_v3_1_tools(c, w)
    asked = in_results = False
    for turn in c.turns:
        if turn.role == 'user':
            asked, in_results = True, False
            w.text('<｜User｜>')
            w.said(turn)
        elif turn.role == 'assistant':
            _write_v3_1_answer(c, w, turn, empty, asked, in_results)
            asked = in_results = False
        elif turn.role == 'tool':
            asked, in_results = False, True
            w.text('<｜tool▁output▁begin｜>')
            w.said(turn)
            w.text('<｜tool▁output▁end｜>')
    if c.add_generation_prompt and asked:
        w.text('<｜Assistant｜>')
        _prompt_thinking(c, w, thinks, empty)


def _write_v3_1_answer(c: Conversation, w: Writer, turn: Turn, empty: str, asked: bool, in_results: bool) -> None:
    reasoning, content = turn.reasoning or '', turn.content
    if not turn.calls and not in_results and '</think>' in content:
        head, _, content = content.partition('</think>')
        reasoning = reasoning or head.removeprefix('<think>')
    w.text('<｜Assistant｜>' if asked else '')
    _begin_answer(c, w, turn, reasoning, official=False, empty=empty, prompted=asked)
    w.said(turn, content)
    if turn.calls:
        _write_calls(w, turn, _write_bare_call)
    w.text(EOS)
    w.end()


def _begin_answer(c: Conversation, w: Writer, turn: Turn, reasoning: str, *, official: bool, empty: str,
                  prompted: bool = True, opens: bool = False) -> None:
    """Begin an answer with its thinking, or with what stands for none.

    Args:
        reasoning: what was thought, empty for nothing.
        official: whether the publisher's template shows it here.
        empty: what stands for no thinking.
        prompted: whether a prompt for this answer would end with the tag that opens or with the one that closes.
        opens: whether that prompt opens the thinking, so that an answer without any has to close it.
    """
    is_shown = bool(reasoning) and c.shows_reasoning(turn, official)
    if not prompted:
        w.begin(turn)
    if is_shown or (opens and c.prompts_thinking(True)):
        w.text('<think>')
        if prompted:
            w.begin(turn)
        w.said(turn, reasoning if is_shown else '')
        w.text('</think>')
        return
    if prompted:
        w.text(empty if c.writes_empty(turn, True) else '')
        w.begin(turn)


def _prompt_thinking(c: Conversation, w: Writer, thinks: bool, empty: str) -> None:
    if c.prompts_empty(not thinks):
        w.text(empty)
    elif c.prompts_thinking(thinks):
        w.text('<think>')


def _write_v3_1_tools(c: Conversation, w: Writer) -> None:
    w.text('\n\n## Tools\nYou have access to the following tools:\n')
    for tool in c.tools:
        function = tool['function']
        w.text('\n### ')
        w.data(function['name'])
        w.text('\nDescription: ')
        w.data(function.get('description', ''))
        w.text('\n\nParameters: ')
        w.data(tojson(function.get('parameters', {})))
        w.text('\n')
    w.text(_V3_1_FORMAT)


def write_deepseek_v3_2(c: Conversation, w: Writer) -> None:
    """DeepSeek-V3.2: calls as XML-like DSML; results belong to the answer's own turn, in the order of their calls; an
    answer that thinks does so again behind results."""
    thinks = bool(c.options.get('thinking', c.options.get('enable_thinking', False)))
    w.text(c.bos)
    _write_systems(c, w)
    if c.tools:
        w.text('\n\n' if _says_system(c) else '')
        _write_schemas(c, w, _V3_2_TOOLS, '</functions>\n')
    pending = ''  # what opens the next answer
    for turn in c.turns:
        if turn.role == 'user':
            w.text('<｜User｜>')
            w.said(turn)
            pending = '<｜Assistant｜>'
        elif turn.role == 'assistant':
            in_round = turn.index > c.last_question
            w.text(pending)
            is_added = in_round and c.thinking == 'add_empty'  # as the prompt does, unlike the publisher's answers
            _begin_answer(c, w, turn, turn.reasoning or '' if pending else '', official=in_round and thinks,
                          empty='<think></think>' if is_added else '</think>', prompted=bool(pending),
                          opens=in_round and thinks and bool(pending))
            w.said(turn)
            _write_dsml(w, turn, 'function_calls')
            w.text(EOS)
            w.end()
            pending = ''
        elif turn.role == 'tool':
            pending = _write_v3_2_result(c, w, turn) or pending
    if c.add_generation_prompt and pending:
        w.text(pending)
        _prompt_thinking(c, w, thinks, '<think></think>')


def _write_v3_2_result(c: Conversation, w: Writer, turn: Turn) -> str:
    """Write a result; gives what opens the answer to come if it was the last one of its calls."""
    caller = max((t.index for t in c.turns[:turn.index] if t.role == 'assistant' and t.calls), default=-1)
    place = turn.index - caller
    w.text('\n\n<function_results>' if place == 1 else '')
    w.text('\n<result>')
    w.said(turn)
    w.text('</result>')
    if place != len(c.turns[caller].calls):
        return ''
    w.text('\n</function_results>')
    return '\n\n'


def write_deepseek_v4(c: Conversation, w: Writer) -> None:
    """DeepSeek-V4: results are questions; with tools, or after results, earlier thinking stays."""
    _write_v4(c, w, {'max': _EFFORT_HIGH})


def write_deepseek_v4_flash(c: Conversation, w: Writer) -> None:
    """DeepSeek-V4-Flash-0731: V4 with one more effort."""
    _write_v4(c, w, {'high': _EFFORT_HIGH, 'max': _EFFORT_MAX})


def _write_v4(c: Conversation, w: Writer, efforts: dict[str, str]) -> None:
    thinks = bool(c.options.get('thinking', c.options.get('enable_thinking', False)))
    w.text(c.bos)
    if thinks and c.turns:
        w.text(efforts.get(c.options.get('reasoning_effort'), ''))
    _write_v4_head(c, w)
    keeps = not c.options.get('drop_thinking', True) or bool(c.tools) or any(t.role == 'tool' for t in c.turns)
    last_said = max((t.index for t in c.turns if t.role in ('user', 'tool')), default=-1)
    in_question = False
    for turn in c.turns:
        if turn.role in ('user', 'tool'):
            w.text('\n\n' if in_question else '<｜User｜>')
            w.text('<tool_result>' if turn.role == 'tool' else '')
            w.said(turn)
            w.text('</tool_result>' if turn.role == 'tool' else '')
            in_question = True
        elif turn.role == 'assistant':
            in_question = False
            shows = thinks and (keeps or turn.index > last_said)
            w.text('<｜Assistant｜>')
            _begin_answer(c, w, turn, turn.reasoning or '', official=shows, empty='</think>', opens=shows)
            w.said(turn)
            _write_dsml(w, turn, 'tool_calls', no_arguments='\n')
            w.text(EOS)
            w.end()
    if c.add_generation_prompt:
        w.text('<｜Assistant｜>')
        _prompt_thinking(c, w, thinks, '</think>')


def _write_v4_head(c: Conversation, w: Writer) -> None:
    _write_systems(c, w)
    is_empty = not _says_system(c)
    if c.tools:
        w.text('' if is_empty else '\n\n')
        _write_schemas(c, w, _V4_TOOLS, _V4_TOOLS_END)
        is_empty = False
    if 'response_format' in c.options:
        w.text('' if is_empty else '\n\n')
        w.text('## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n')
        w.data(tojson(c.options['response_format']))


def _write_schemas(c: Conversation, w: Writer, head: str, end: str) -> None:
    w.text(head)
    for tool in c.tools:
        if tool.get('type') == 'function':
            w.data(tojson(tool['function']))
            w.text('\n')
    w.text(end)


def _write_dsml(w: Writer, turn: Turn, block: str, no_arguments: str = '') -> None:
    """Calls with one element an argument; texts stand as they are, other values as JSON."""
    if not turn.calls:
        return
    w.text(f'\n\n<｜DSML｜{block}>\n')
    for call in turn.calls:
        w.text('<｜DSML｜invoke name="')
        w.said(turn, call.name)
        w.text('">\n')
        arguments = arguments_of(call)
        for name, value in arguments.items():
            w.text('<｜DSML｜parameter name="')
            w.said(turn, name)
            w.text(f'" string="{"true" if isinstance(value, str) else "false"}">')
            w.said(turn, value if isinstance(value, str) else tojson(value))
            w.text('</｜DSML｜parameter>\n')
        w.text('' if arguments else no_arguments)
        w.text('</｜DSML｜invoke>\n')
    w.text(f'</｜DSML｜{block}>')


_CODER = (
    'You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you '
    'only answer questions related to computer science. For politically sensitive questions, security and privacy '
    'issues, and other non-computer science questions, you will refuse to answer\n')
_V3_1_FORMAT = (
    '\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'
    'tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>{{additional_tool_calls}}<｜tool▁calls▁end｜>\n\n'
    'Where:\n\n- `tool_call_name` must be an exact match to one of the available tools\n'
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
    '- For multiple tool calls, chain them directly without separators or spaces\n')
_V3_2_TOOLS = (
    "## Tools\n\nYou have access to a set of tools you can use to answer the user's question.\n"
    'You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply '
    'to the user:\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="$FUNCTION_NAME">\n'
    '<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>\n...\n'
    '</｜DSML｜invoke>\n<｜DSML｜invoke name="$FUNCTION_NAME2">\n...\n</｜DSML｜invoke>\n</｜DSML｜function_calls>\n\n'
    'String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects '
    'should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for '
    'other types (numbers, booleans, arrays, objects).\n\n'
    'If the thinking_mode is enabled, then after function results you should strongly consider outputting a '
    'thinking block. Here is an example:\n\n<｜DSML｜function_calls>\n...\n</｜DSML｜function_calls>\n\n'
    '<function_results>\n...\n</function_results>\n\n<think>...thinking about results</think>\n\n'
    'Here are the functions available in JSONSchema format:\n<functions>\n')
_V4_TOOLS = (
    "## Tools\n\nYou have access to a set of tools to help answer the user's question. You can invoke tools by writing "
    'a "<｜DSML｜tool_calls>" block like the following:\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="$TOOL_NAME">\n'
    '<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>\n...\n'
    '</｜DSML｜invoke>\n<｜DSML｜invoke name="$TOOL_NAME2">\n...\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>\n\n'
    'String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, '
    'arrays, objects), pass the value in JSON format and set `string="false"`.\n\n'
    'If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside '
    '<think>...</think> BEFORE any tool calls or final response.\n\n'
    'Otherwise, output directly after </think> with tool calls or final response.\n\n### Available Tool Schemas\n\n')
_V4_TOOLS_END = (
    '\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n')
_EFFORT_HIGH = (
    'Reasoning Effort: Absolute maximum with no shortcuts permitted.\n'
    'You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, '
    'rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n'
    'Explicitly write out your entire deliberation process, documenting every intermediate step, considered '
    'alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n')
_EFFORT_MAX = (
    'Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.\n'
    'You MUST reason with the utmost depth and rigor, leaving absolutely nothing to chance: exhaustively decompose the '
    'problem into its most fundamental components, trace every causal chain to its root, and resolve the underlying '
    'cause rather than any surface symptom.\n'
    'Do not stop reasoning until you have independently verified the solution from multiple angles and are certain '
    'that no assumption remains unchecked and no error remains undiscovered.\n\n')
