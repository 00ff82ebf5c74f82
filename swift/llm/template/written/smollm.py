"""Templates of Hugging Face's SmolLM3, SmolVLM and Idefics3."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import (
    end_answer,
    open_answer,
    prompt_tail,
    write_message,
    write_reasoning,
)

_NO_THINKING = '<think>\n\n</think>\n'
_NAME = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face.'
_THINKING = (
    ' Your role as an assistant involves thoroughly exploring questions through a systematic thinking process before '
    'providing the final precise and accurate solutions. This requires engaging in a comprehensive cycle of analysis, '
    'summarizing, exploration, reassessment, reflection, backtracking, and iteration to develop well-considered '
    'thinking process. Please structure your response into two main sections: Thought and Solution using the specified '
    'format: <think> Thought section </think> Solution section. In the Thought section, detail your reasoning process '
    'in steps. Each step should include detailed considerations such as analysing questions, summarizing relevant '
    'findings, brainstorming new ideas, verifying the accuracy of the current steps, refining any errors, and '
    'revisiting previous steps. In the Solution section, based on various attempts, explorations, and reflections from '
    'the Thought section, systematically present the final solution that you deem correct. The Solution section should '
    'be logical, accurate, and concise and detail necessary steps needed to reach the conclusion.')


def write_smollm3(c: Conversation, w: Writer) -> None:
    """SmolLM3: the system text tells the mode of thinking, by ``enable_thinking`` or by its own ``/no_think``; without
    thinking every answer starts with an empty block. Results are questions; tools and calls have no place."""
    thinks = _thinks(c)
    tail = prompt_tail(c, empty=not thinks, thinks=False, block=_NO_THINKING)
    _write_system(c, w, thinks)
    for turn in c.turns:
        if turn.role in ('user', 'tool'):
            write_message(w, turn, role='user')
        elif turn.role == 'assistant':
            w.text('<|im_start|>assistant\n')
            if turn.reasoning and c.shows_reasoning(turn, False):
                write_reasoning(w, turn, turn.reasoning.strip('\n'), tail, '\n</think>\n')
            else:
                open_answer(w, turn, _NO_THINKING if c.writes_empty(turn, not thinks) else '', tail)
            w.said(turn, turn.content.lstrip('\n'))
            end_answer(w)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


def _thinks(c: Conversation) -> bool:
    system = '' if c.system is None else c.system.content
    if '/no_think' in system:
        return False
    return '/think' in system or bool(c.options.get('enable_thinking', True))


def _write_system(c: Conversation, w: Writer, thinks: bool) -> None:
    w.text('<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: '
           f'{"/think" if thinks else "/no_think"}\n\n## Custom Instructions\n\n')
    said = '' if c.system is None else c.system.content.replace('/no_think', '').replace('/think', '').rstrip()
    if said:
        w.said(c.system, said)
    else:
        w.text(_NAME + (_THINKING if thinks else ''))
    w.text('\n\n<|im_end|>\n')


def write_idefics3(c: Conversation, w: Writer, start: str = '<|begin_of_text|>') -> None:
    """Idefics3 and, with another ``start``, SmolVLM: names of roles in plain words, no space in front of an image."""
    w.text(start)
    for turn in c.turns:
        w.text(f'{turn.role.capitalize()}:')
        if turn.role == 'assistant':
            w.begin(turn)
        w.text('' if turn.content.startswith('<image>') else ' ')
        w.said(turn)
        w.text('<end_of_utterance>')
        if turn.role == 'assistant':
            w.end()
        w.text('\n')
    if c.add_generation_prompt:
        w.text('Assistant:')
