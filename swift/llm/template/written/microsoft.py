"""Phi-3, Phi-3.5, Phi-4 of Microsoft. Checked against the chat templates of the checkpoints that each entry names."""

from __future__ import annotations

from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer

_PHI4_SYSTEM = 'You are a helpful assistant.'
_PHI4_REASONING_SYSTEM = (
    'You are Phi, a language model trained by Microsoft to help users. Your role as an assistant involves thoroughly '
    'exploring questions through a systematic thinking process before providing the final precise and accurate '
    'solutions. This requires engaging in a comprehensive cycle of analysis, summarizing, exploration, reassessment, '
    'reflection, backtracing, and iteration to develop well-considered thinking process. Please structure your '
    'response into two main sections: Thought and Solution using the specified format: <think> {Thought section} '
    '</think> {Solution section}. In the Thought section, detail your reasoning process in steps. Each step should '
    'include detailed considerations such as analysing questions, summarizing relevant findings, brainstorming new '
    'ideas, verifying the accuracy of the current steps, refining any errors, and revisiting previous steps. In the '
    'Solution section, based on various attempts, explorations, and reflections from the Thought section, '
    'systematically present the final solution that you deem correct. The Solution section should be logical, '
    'accurate, and concise and detail necessary steps needed to reach the conclusion. Now, try to solve the following '
    'question through the above guidelines:')
_PHI4_TOOLS = (
    'In addition to plain text responses, you can choose to call one or more of the provided functions.\n\nUse the '
    'following rule to decide when to call a function:\n  * if the response can be generated from your internal '
    'knowledge (e.g., as in the case of queries like "What is the capital of Poland?"), do so\n  * if you need '
    'external information that can be obtained by calling one or more of the provided functions, generate a function '
    'calls\n\nIf you decide to call functions:\n  * prefix function calls with functools marker (no closing marker '
    'required)\n  * all function calls should be generated in a single JSON list formatted as functools[{"name": '
    '[function name], "arguments": [function arguments as JSON]}, ...]\n  * follow the provided JSON schema. Do not '
    'hallucinate arguments or values. Do to blindly copy values from the provided samples\n  * respect the argument '
    'type formatting. E.g., if the type is number and format is float, write value 7 as 7.0\n  * make sure you pick '
    'the right functions that match the user intent')


@dataclass(frozen=True)
class Phi:
    """The plain loops of Phi-3 to Phi-4.

    Attributes:
        roles: whose turns are written; the others are left out.
        open: what a turn begins with, around its role.
        close: the terminator, and what follows it.
        has_bos: BOS stands in front.
        keeps_empty_system: an empty system text is written.
        opens_answer: a question ends with the start of an answer, which then isn't opened itself.
        ends_with_eos: EOS stands behind a conversation that no answer is asked for.
        answers_once: no further answer is asked for behind an answer.
        default_system: of a template that writes the system text first, wherever it stands.
    """

    roles: tuple[str, ...] = ('system', 'user', 'assistant')
    open: tuple[str, str] = ('<|', '|>\n')
    close: tuple[str, str] = ('<|end|>', '\n')
    has_bos: bool = False
    keeps_empty_system: bool = True
    opens_answer: bool = False
    ends_with_eos: bool = False
    answers_once: bool = False
    default_system: str | None = None

    def write(self, c: Conversation, w: Writer) -> None:
        w.text(c.bos if self.has_bos else '')
        turns = c.turns
        if self.default_system is not None:
            self._write_system(c, w)
            turns = tuple(turn for turn in c.turns if turn.role != 'system')
        for turn in turns:
            if turn.role in self.roles and (turn.content or turn.role != 'system' or self.keeps_empty_system):
                self._write_turn(w, turn)
        is_answered = self.answers_once and bool(c.turns) and c.turns[-1].role == 'assistant'
        if c.add_generation_prompt and not self.opens_answer and not is_answered:
            self._open(w, 'assistant')
        elif not c.add_generation_prompt and self.ends_with_eos:
            w.text(c.eos)

    def _open(self, w: Writer, role: str) -> None:
        w.text(role.join(self.open))

    def _write_system(self, c: Conversation, w: Writer) -> None:
        self._open(w, 'system')
        if c.system:
            w.said(c.system)
        else:
            w.text(self.default_system or '')
        w.text(''.join(self.close))

    def _write_turn(self, w: Writer, turn: Turn) -> None:
        is_answer = turn.role == 'assistant'
        if not (is_answer and self.opens_answer):
            self._open(w, turn.role)
        if is_answer:
            w.begin(turn)
        w.said(turn)
        w.text(self.close[0])
        if is_answer:
            w.end()
        w.text(self.close[1])
        if turn.role == 'user' and self.opens_answer:
            self._open(w, 'assistant')


_EVERYONE = ('system', 'user', 'assistant', 'tool')
_SEP = {'open': ('<|im_start|>', '<|im_sep|>'), 'close': ('<|im_end|>', '')}

write_phi3 = Phi(ends_with_eos=True).write
write_phi3_5 = Phi(ends_with_eos=True, keeps_empty_system=False).write
write_phi3_mini = Phi(roles=('user', 'assistant'), has_bos=True, opens_answer=True).write
write_phi3_medium = Phi(roles=('user', 'assistant'), opens_answer=True).write
write_phi3_small = Phi(roles=_EVERYONE, has_bos=True, ends_with_eos=True).write
write_phi3_vision = Phi(roles=_EVERYONE, answers_once=True).write
write_phi4 = Phi(opens_answer=True, **_SEP).write
write_phi4_reasoning = Phi(roles=('user', 'assistant'), default_system=_PHI4_REASONING_SYSTEM, **_SEP).write


def write_phi4_mini(c: Conversation, w: Writer) -> None:
    """Phi-4-mini as vLLM writes it: always with a system text, and always ending with the start of an answer.

    Calls are shown only where the answer has no content.
    """
    turns = [turn for turn in c.turns if turn is not c.system]
    w.text('<|system|>\n')
    w.text('' if turns else '\n')
    if c.system:
        w.said(c.system, c.system.content.strip())
    else:
        w.text(_PHI4_SYSTEM)
    if turns and c.tools:
        w.text(_PHI4_TOOLS)
        for tool in c.tools:
            w.data(tojson(tool, indent=4))
            w.text('\n\n')
    w.text('<|end|>')
    for turn in turns:
        if turn.role != 'system':
            _write_phi4_mini_turn(w, turn)
    w.text('<|assistant|>')


def _write_phi4_mini_turn(w: Writer, turn: Turn) -> None:
    w.text(f'<|{turn.role}|>')
    if turn.role == 'assistant':
        w.begin(turn)
    if turn.content:
        w.said(turn)
    else:
        for i, call in enumerate(turn.calls):
            given = call.raw.get('function', call.raw).get('arguments')
            w.text(',{"name": "' if i else '{"name": "')
            w.said(turn, call.name)
            w.text('", "arguments": ')
            w.said(turn, str(given))  # a mapping in Python's notation: that is how the template puts it
            w.text('}')
    w.text('<|end|>')
    w.end()
