"""ChatGLM3, GLM-4.5 to 4.7, GLM-Edge of Zhipu AI. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.glm import EXAMPLE_4_5, EXAMPLE_4_7, GLM4_5, GLM4_7, PairCalls, write_tools
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.llm.template.written.chatml import split_reasoning


def open_turn(w: Writer, role: str) -> None:
    """Write the token of a role. Where the model wrote an answer, it ends it with the token of whoever is next."""
    if role not in ('user', 'observation'):
        w.end()
    w.text(f'<|{role}|>')
    w.end()


@dataclass(frozen=True)
class Glm:
    """GLM-4.5 and its successors.

    Attributes:
        calls: the layout of calls.
        example: of a call, as the system text shows it.
        newline: between the parts of a turn: GLM-4.5 puts each on a line of its own.
        empty: what stands for no thinking.
        has_nothink: "/nothink" behind a question switches thinking off.
        prompts_thinking: a prompt ends with the tag that opens the thinking.
        null_is_empty: a call without arguments may have none at all.
    """

    calls: PairCalls = GLM4_5
    example: str = EXAMPLE_4_5
    newline: str = '\n'
    empty: str = '<think></think>'
    has_nothink: bool = True
    prompts_thinking: bool = False
    null_is_empty: bool = False

    def write(self, c: Conversation, w: Writer) -> None:
        is_off = 'enable_thinking' in c.options and not c.options['enable_thinking']
        w.text('[gMASK]<sop>')
        if c.tools:
            w.text('<|system|>\n')
            write_tools(w, c.tools, self.example)
        for turn in c.turns:
            if turn.role == 'assistant':
                self._write_answer(c, w, turn, is_off)
            elif turn.role == 'tool':
                self._write_result(c, w, turn)
            else:
                open_turn(w, turn.role)
                w.text(self.newline)
                w.said(turn)
                if turn.role == 'user' and self.has_nothink and is_off and not turn.content.endswith('/nothink'):
                    w.text('/nothink')
        w.end()
        if c.add_generation_prompt:
            w.text('<|assistant|>' + self._prompt(c, is_off))

    def _prompt(self, c: Conversation, is_off: bool) -> str:
        return prompt_ending(c, '<think>', self.newline + self.empty, is_thinking=self.prompts_thinking,
                             is_empty=is_off)

    def _write_answer(self, c: Conversation, w: Writer, turn: Turn, is_off: bool) -> None:
        reasoning, content = split_reasoning(turn)
        open_turn(w, 'assistant')
        prompt = self._prompt(c, is_off)
        keeps = self.prompts_thinking and 'clear_thinking' in c.options and not c.options['clear_thinking']
        if reasoning and c.shows_reasoning(turn, keeps or turn.index > c.last_question):
            begin_behind(w, turn, '', prompt, self.newline + '<think>')
            w.said(turn, reasoning.strip())
            w.text('</think>')
        else:
            begin_behind(w, turn, '', prompt, self.newline + self.empty if c.writes_empty(turn, True) else '')
        if content.strip():
            w.text(self.newline)
            w.said(turn, content.strip())
        for call in turn.calls:
            w.text(self.newline)
            self.calls.write(w, turn, call, self.null_is_empty)

    def _write_result(self, c: Conversation, w: Writer, turn: Turn) -> None:
        before = c.preceding(turn)
        if before is None or before.role != 'tool':
            open_turn(w, 'observation')
        w.text(f'{self.newline}<tool_response>{self.newline}')
        w.said(turn)
        w.text(f'{self.newline}</tool_response>')


write_glm4_5 = Glm().write
write_glm4_6 = Glm(null_is_empty=True).write
write_glm4_7 = Glm(GLM4_7, EXAMPLE_4_7, newline='', empty='</think>', has_nothink=False,
                   prompts_thinking=True).write


def write_chatglm3(c: Conversation, w: Writer) -> None:
    """ChatGLM3: every turn with its role, no tools."""
    for turn in c.turns:
        w.text('' if turn.index else '[gMASK]sop')
        open_turn(w, turn.role)
        if turn.role == 'assistant':
            w.begin(turn)
        w.text('\n ')
        w.said(turn)
    w.end()
    w.text('<|assistant|>' if c.add_generation_prompt else '')


def write_glm_edge(c: Conversation, w: Writer) -> None:
    """GLM-Edge: always ends with the start of an answer, one behind an answer included."""
    for turn in c.turns:
        if turn.role == 'tool':
            continue
        open_turn(w, turn.role)
        if turn.role == 'assistant':
            w.begin(turn)
        w.text('\n')
        w.said(turn)
    w.end()
    w.text('<|assistant|>')


_ROUND_TOOLS = (
    'You have access to the following tools. When you need to call a tool, you MUST use the following format:\n\n'
    '<tool_call>function_name\n<arg_key>parameter_name</arg_key>\n<arg_value>parameter_value</arg_value>\n'
    '</tool_call>\n\nImportant rules:\n- Always wrap tool calls with <tool_call>...</tool_call> tags\n- Put the '
    'function name on the first line after <tool_call>\n- Use <arg_key> and <arg_value> tags for each parameter\n- If '
    'a parameter value is a string, keep it as-is. If it\'s a number or boolean, convert it appropriately\n- You can '
    'make multiple tool calls if needed\n- If no tool is suitable, respond with regular text\n\nAvailable tools:\n\n\n')


def write_chatglm(c: Conversation, w: Writer) -> None:
    """ChatGLM as vLLM writes it: numbered rounds in Chinese, without system texts."""
    number = 0
    for turn in c.turns:
        if turn.role == 'user':
            w.text(f'[Round {number}]\n问：')
            w.said(turn)
            number += 1
        elif turn.role == 'assistant':
            w.text('\n答：')
            w.begin(turn)
            w.said(turn)
            w.end()
            w.text('\n' if c.add_generation_prompt or c.following(turn) else '')
    if c.add_generation_prompt and not (c.turns and c.turns[-1].role == 'assistant'):
        w.text('\n答：')


def write_glm4_rounds(c: Conversation, w: Writer) -> None:
    """GLM-4 with tools as vLLM writes it: the tools, then ChatGLM's rounds, without calls and results."""
    if c.tools:
        w.text(_ROUND_TOOLS)
        for tool in c.tools:
            w.data(tojson(tool, indent=4))
            w.text('\n\n')
    write_chatglm(c, w)
