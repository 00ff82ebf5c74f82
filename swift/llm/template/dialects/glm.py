"""Calls as pairs of a key and a value between tags: GLM-4.5 and later, Ling 3, Hunyuan 3; and calls of GLM-4.

Strings are written bare, everything else as JSON, so the types come back from the tools' schemas.
Sources: chat templates of zai-org/GLM-4.5, GLM-4.7-Flash, inclusionAI/Ling-3.0-flash, tencent/Hy3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode_at, extract, properties_of, typed
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError


@dataclass(frozen=True)
class PairCalls:
    """How the pairs are laid out.

    Attributes:
        after_name: between the function's name and the first pair.
        between: between a key and its value.
        after_pair: behind each pair.
        before_end: in front of the closing tag.
        mark: what every tag ends with (Hunyuan 3 marks its tags with ":opensource").
        wrapper: the tag around all calls of an answer, if there is one.
    """

    after_name: str = '\n'
    between: str = '\n'
    after_pair: str = '\n'
    before_end: str = ''
    mark: str = ''
    wrapper: str = ''

    def tag(self, name: str) -> str:
        return f'<{name}{self.mark}>'

    def write(self, w: Writer, turn: Turn, call: Call, null_is_empty: bool = False) -> None:
        """Raises RowError if the arguments are no object."""
        arguments = call.arguments
        if null_is_empty and not arguments:
            arguments = {}
        if not isinstance(arguments, Mapping):
            raise RowError(f'the arguments of a call must be a JSON object, not {call.text[:80]!r}')
        w.text(self.tag('tool_call'))
        w.said(turn, call.name)
        w.text(self.after_name)
        for key, value in arguments.items():
            w.text(self.tag('arg_key'))
            w.said(turn, key)
            w.text(self.tag('/arg_key') + self.between + self.tag('arg_value'))
            w.said(turn, value if isinstance(value, str) else tojson(value))
            w.text(self.tag('/arg_value') + self.after_pair)
        w.text(self.before_end + self.tag('/tool_call'))

    def parse(self, text: str, tools: Tools = ()) -> Parsed:
        mark = re.escape(self.mark)
        call = re.compile(rf'<tool_call{mark}>\s*(.*?)\s*</tool_call{mark}>', re.DOTALL)
        head = re.compile(rf'(.*?)\s*(?:<tool_sep{mark}>)?\s*(?=<arg_key{mark}>|$)', re.DOTALL)
        pair = re.compile(rf'\s*<arg_key{mark}>\s*(.*?)\s*</arg_key{mark}>\s*'
                          rf'<arg_value{mark}>(.*?)</arg_value{mark}>\s*', re.DOTALL)

        def read(match: re.Match[str]) -> list[Call]:
            name = head.match(match[1])
            pairs, at = {}, name.end()
            while (found := pair.match(match[1], at)) is not None:
                pairs[found[1]] = found[2]
                at = found.end()
            if not name[1] or '\n' in name[1] or at != len(match[1]):
                return []
            schemas = properties_of(tools, name[1])
            return [Call.of({'name': name[1], 'arguments': {
                key: typed(value, schemas.get(key)) for key, value in pairs.items()}})]

        parsed = extract(call, text, read, self.tag('/tool_call'))
        if not parsed.calls or not self.wrapper:
            return parsed
        return Parsed(re.sub(rf'\s*</?{self.wrapper}{mark}>\s*', '', parsed.content), parsed.calls)


GLM4_5 = PairCalls()
GLM4_7 = PairCalls(after_name='', between='', after_pair='')
LING3 = PairCalls(after_pair='', before_end='\n')
HY3 = PairCalls(after_name='<tool_sep:opensource>\n', mark=':opensource', wrapper='tool_calls')
HY3_PREVIEW = PairCalls(after_name='<tool_sep>\n', wrapper='tool_calls')

_GLM4 = re.compile(r'(?:^|<\|assistant\|>|(?<=\n))[ \t]*([\w.-]+)[ \t]*\n\s*(?=\{)')
_GLM4_END = '<|observation|>'


def parse_glm4(text: str, tools: Tools = ()) -> Parsed:
    """GLM-4: the function's name, and in the next line its arguments as JSON."""
    known = {tool.get('function', tool).get('name') for tool in tools}
    calls: list[Call] = []
    kept: list[str] = []
    done = 0
    for match in _GLM4.finditer(text):
        if match.start() < done or (known and match[1] not in known):
            continue
        try:
            arguments, end = decode_at(text, match.end())
        except ValueError:
            continue
        kept.append(text[done:match.start()].rstrip())
        calls.append(Call.of({'name': match[1], 'arguments': arguments}))
        done = end
    rest = text[done:]
    if calls and rest.rstrip().endswith(_GLM4_END):
        rest = rest.rstrip().removesuffix(_GLM4_END).rstrip()
    return Parsed(''.join(kept) + rest, tuple(calls))


# -- writing, for declared templates -------------------------------------------------------------------------------

TOOLS_HEAD = ('# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with '
              'function signatures within <tools></tools> XML tags:\n<tools>\n')
TOOLS_END = ('</tools>\n\nFor each function call, output the function name and arguments within the following XML '
             'format:\n')
EXAMPLE_4_5 = ('<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>\n'
               '<arg_key>{arg-key-2}</arg_key>\n<arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>')
EXAMPLE_4_7 = ('<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value>'
               '<arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>')
_GLM4_INTRO = ('你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对'
               '用户的问题和要求提供适当的答复和支持。')


def write_tools(w: Writer, tools: Tools, example: str) -> None:
    """The paragraph of GLM-4.5 and later."""
    w.text(TOOLS_HEAD)
    for tool in tools:
        w.data(tojson(tool))
        w.text('\n')
    w.text(TOOLS_END + example)


def _pair_dialect(name: str, calls: PairCalls, example: str, newline: str, source: str) -> Dialect:
    def tools(w: Writer, c: Conversation) -> None:
        write_tools(w, c.tools, example)
        if c.system is not None and c.system.content:
            w.text(f'<|system|>{newline}')
            w.said(c.system)

    def answer(w: Writer, turn: Turn) -> None:
        for i, call in enumerate(turn.calls):
            w.text(newline if i or turn.content else '')
            calls.write(w, turn, call)
        w.text('<|observation|>')  # what the model ends a call with

    def results(w: Writer, turns: Sequence[Turn]) -> None:
        for turn in turns:
            w.text(f'{newline}<tool_response>{newline}')
            w.said(turn)
            w.text(f'{newline}</tool_response>')
        w.text(f'<|assistant|>{newline}')

    return Dialect(name, calls.parse, tools, answer, results, continues=True, stop_words=_STOPS, source=source)


def _glm4_dialect(name: str, intro: str, source: str) -> Dialect:
    def tools(w: Writer, c: Conversation) -> None:
        if c.system is not None and c.system.content:
            w.said(c.system)
            w.text('\n\n')
        else:
            w.text(f'{intro}\n\n' if intro else '')
        w.text('# 可用工具')
        for tool in c.tools:
            function = tool.get('function', tool)
            w.text('\n\n## ')
            w.data(str(function['name']))
            w.text('\n\n')
            w.data(tojson(function, indent=4))
            w.text('\n在调用上述函数时，请使用 Json 格式表示调用的参数。')

    def answer(w: Writer, turn: Turn) -> None:
        for i, call in enumerate(turn.calls):
            w.text('<|assistant|>' if i or turn.content else '')
            w.said(turn, call.name)
            w.text('\n')
            w.said(turn, call.text)
        w.text('<|observation|>')  # what the model ends a call with

    def results(w: Writer, turns: Sequence[Turn]) -> None:
        for i, turn in enumerate(turns):
            w.text('<|observation|>\n' if i else '\n')
            w.said(turn)
        w.text('<|assistant|>\n')

    return Dialect(name, parse_glm4, tools, answer, results, continues=True, stop_words=_STOPS, source=source)


_STOPS = ('<|observation|>',)
DIALECTS.add(_glm4_dialect('chatglm4', _GLM4_INTRO, 'THUDM/glm-4-9b-chat chat_template'))
DIALECTS.add(_glm4_dialect('glm4', '', 'THUDM/GLM-4-9B-0414 chat_template, unproven'))
DIALECTS.add(_pair_dialect('glm4_5', GLM4_5, EXAMPLE_4_5, '\n', 'zai-org/GLM-4.5 chat_template'))
DIALECTS.add(_pair_dialect('glm4_7', GLM4_7, EXAMPLE_4_7, '', 'zai-org/GLM-4.7-Flash chat_template'))
DIALECTS.add(_pair_dialect('glm5_1', GLM4_7, EXAMPLE_4_7, '', 'the table of SWIFT 4: as GLM-4.7; unproven'))
DIALECTS.add(Dialect('ling3', LING3.parse, source='inclusionAI/Ling-3.0-flash chat_template'))
