"""Chat templates that are one loop over turns: what stands around a content depends on its role alone.

``Loop`` describes such a template; :func:`write_loop` writes it. Each entry of ``LOOPS`` names its source.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

Around = tuple[str, str]
_ALL = ('system', 'user', 'assistant', 'tool')


@dataclass(frozen=True)
class Loop:
    """A template. In its texts ``{bos}`` and ``{eos}`` stand for the tokens, ``{role}`` and ``{Role}`` for a role.

    Attributes:
        source: where the template was published.
        user: around a question.
        header: in front of an answer, and the end of a prompt.
        ending: what the model writes to end an answer; may be nothing.
        head: in front of everything.
        system: around a system text that opens the conversation; None leaves it out.
        systems: whether system texts later on are written like that too, instead of like those of other roles.
        empty_system: whether an empty system text is written.
        other: around turns of other roles; None leaves them out.
        lead: between ``header`` and an answer; it is the model that writes it.
        behind: behind ``ending``.
        no_system: what stands where a system text would, if there is none.
        trim: roles whose contents are stripped.
        alternates: whether the roles have to.
        prompted: roles of a last turn that a prompt can follow.
        needs_turn: whether the head and the system text are left out where nothing follows them.
        between: behind every turn, the system text included, that another one or a prompt follows.
        closes: behind everything, where there is no prompt.
    """

    source: str
    user: Around
    header: str
    ending: str
    head: str = ''
    system: Around | None = None
    systems: bool = False
    empty_system: bool = True
    other: Around | None = None
    lead: str = ''
    behind: str = ''
    no_system: str = ''
    trim: tuple[str, ...] = ()
    alternates: bool = False
    prompted: tuple[str, ...] = _ALL
    needs_turn: bool = False
    between: str = ''
    closes: str = ''


def write_loop(c: Conversation, w: Writer, loop: Loop) -> None:
    """Write a conversation as ``loop`` says.

    Raises:
        RowError: the roles do not alternate in a template that needs it.
    """
    opens = c.system is not None and loop.system is not None
    turns = c.turns[1 if opens else 0:]
    if turns or not loop.needs_turn:
        w.text(_fill(c, loop.head))
        if opens:
            _write_around(c, w, loop, c.system, loop.system)
            w.text(loop.between if turns or c.add_generation_prompt else '')
        else:
            w.text(_fill(c, loop.no_system))
    for i, turn in enumerate(turns):
        if loop.alternates and (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'turn {turn.index} is of {turn.role!r}, but questions and answers have to alternate')
        if turn.role == 'assistant':
            _write_answer(c, w, loop, turn, turn is turns[-1] and not c.add_generation_prompt)
        else:
            by_role = {'user': loop.user, 'system': loop.system if loop.systems else loop.other}
            _write_around(c, w, loop, turn, by_role.get(turn.role, loop.other))
        w.text(loop.between if turn is not turns[-1] or c.add_generation_prompt else '')
    is_answered = bool(turns) and turns[-1].role == 'assistant'
    if not c.add_generation_prompt:
        w.text('' if is_answered else _fill(c, loop.closes))
    elif (turns[-1].role if turns else 'system') in loop.prompted:
        w.text(_fill(c, loop.header))


def _write_answer(c: Conversation, w: Writer, loop: Loop, turn: Turn, is_last: bool) -> None:
    w.text(_fill(c, loop.header))
    w.begin(turn)
    w.text(_fill(c, loop.lead))
    w.said(turn, _content(loop, turn))
    w.text(_fill(c, loop.ending) + (_fill(c, loop.closes) if is_last else ''))
    w.end()
    w.text(_fill(c, loop.behind))


def _write_around(c: Conversation, w: Writer, loop: Loop, turn: Turn, around: Around | None) -> None:
    if around is not None and (turn.content or turn.role != 'system' or loop.empty_system):
        w.text(_fill(c, around[0], turn.role))
        w.said(turn, _content(loop, turn))
        w.text(_fill(c, around[1], turn.role))


def _content(loop: Loop, turn: Turn) -> str:
    return turn.content.strip() if turn.role in loop.trim else turn.content


def _fill(c: Conversation, text: str, role: str = '') -> str:
    return text.replace('{bos}', c.bos).replace('{eos}', c.eos).replace('{role}', role).replace('{Role}', role.title())


_CHATS = 'chat_templates/{}.jinja of chujiezheng/chat_templates'
_LLAMA_CPP = '{}, as in llama.cpp tests/test-chat-template.cpp'
_METHARME_SYSTEM = ('<|system|>Enter RP mode. You shall reply to the user while staying in character. Your responses '
                    'must be detailed, creative, immersive, and drive the scenario forward.')

ALPACA = Loop(_CHATS.format('alpaca'), ('### Instruction:\n', '\n\n'), '### Response:\n', '{eos}', '{bos}',
              ('', '\n\n'), behind='\n\n', trim=_ALL, alternates=True)
VICUNA = Loop(_CHATS.format('vicuna'), ('USER: ', '\n'), 'ASSISTANT:', '{eos}', '{bos}', ('', '\n\n'), lead=' ',
              behind='\n', trim=_ALL, alternates=True, needs_turn=True)
VICUNA_1_1 = Loop(_LLAMA_CPP.format('vicuna-13b-1.1'), ('USER: ', '\n'), 'ASSISTANT:', '</s>', '', ('', '\n\n'),
                  systems=True, other=('ASSISTANT: ', '</s>\n'), lead=' ', behind='\n')
_GPT4 = ('GPT4 Correct User: ', '<|end_of_turn|>')
_OPENCHAT = Loop('', _GPT4, 'GPT4 Correct Assistant:', '<|end_of_turn|>', '{bos}', lead=' ')
_ROLE = ('<|role_start|>{role}<|role_end|>', '<|turn_end|>')
_MONARCH = ('{bos}{role}\n', '{eos}\n')
_CODEFUSE_SOURCE = 'MFTCoder_template of codefuse-ai/MFTCoder, src/tokenizer/chat_template.py'

DROPS = frozenset({'tools', 'calls', 'reasoning'})
"""What none of these has a place for."""

LOOPS = {
    'alpaca': ALPACA,
    'alpaca_axolotl': Loop('axolotl chat template alpaca', ('### Instruction:\n', ''), '### Response:\n', '{eos}',
                           '{bos}', ('', ''), between='\n\n'),
    'vicuna': VICUNA,
    'vicuna_1_1': VICUNA_1_1,
    'orca_vicuna': dataclasses.replace(VICUNA_1_1, source=_LLAMA_CPP.format('Orca-Vicuna'), system=('SYSTEM: ', '\n')),
    'amberchat': dataclasses.replace(VICUNA, source=_CHATS.format('amberchat'), user=('###Human: ', '\n'),
                                     header='###Assistant:', ending='\n', behind='', system=('', '\n')),
    'chatqa': Loop(_CHATS.format('chatqa'), ('\n\nUser: ', ''), '\n\nAssistant:', '', '{bos}', ('System: ', ''),
                   lead=' ', trim=_ALL, alternates=True),
    'openchat': dataclasses.replace(_OPENCHAT, source=_LLAMA_CPP.format('openchat-3.5-0106'),
                                    system=('GPT4 Correct System: ', '<|end_of_turn|>'),
                                    other=('GPT4 Correct {Role}: ', '<|end_of_turn|>')),
    'starling': dataclasses.replace(_OPENCHAT, source=_CHATS.format('openchat'), system=('', '<|end_of_turn|>'),
                                    other=('GPT4 Correct {Role}: ', '<|end_of_turn|>'), trim=('system',),
                                    alternates=True),
    'orca': Loop(_CHATS.format('orca'), ('\n<|im_start|>user\n', '<|im_end|>'), '\n<|im_start|>assistant\n',
                 '<|im_end|>', '', ('<|im_start|>system\n', '<|im_end|>'), no_system='<|im_start|>system\n<|im_end|>',
                 trim=_ALL, alternates=True, needs_turn=True),
    'solar': Loop(_CHATS.format('solar'), ('### User:\n', '\n\n'), '### Assistant:\n', '', '{bos}',
                  ('### System:\n', '\n\n'), systems=True, empty_system=False, trim=_ALL),
    'solar_instruct': Loop(_CHATS.format('solar-instruct'), ('### User:\n', '\n\n'), '### Assistant:\n', '\n\n',
                           '{bos}', ('### System:\n', '\n\n'), other=('### {Role}:\n', '\n\n'), trim=_ALL,
                           alternates=True),
    'zephyr_stripped': Loop(_CHATS.format('zephyr'), ('<|user|>\n', '{eos}'), '<|assistant|>\n', '{eos}', '',
                            ('<|system|>\n', '{eos}'), other=('<|{role}|>\n', '{eos}'), trim=_ALL,
                            alternates=True, prompted=('user',)),
    'saiga': Loop(_CHATS.format('saiga'), ('{bos}user\n', '{eos}'), '{bos}bot\n', '{eos}', '',
                  ('{bos}system\n', '{eos}'), other=('{bos}{role}\n', '{eos}'), trim=_ALL, alternates=True,
                  prompted=('user',), needs_turn=True),
    'alphamonarch': Loop(_LLAMA_CPP.format('mlabonne/AlphaMonarch-7B'), _MONARCH, '{bos}assistant\n', '{eos}', '',
                         _MONARCH, other=_MONARCH, behind='\n'),
    'teleflm': Loop('vLLM examples/template_teleflm.jinja', ('<_user>', ''), '<_bot>', '', '', ('<_system>', ''),
                    systems=True, trim=('user', 'system')),
    'codefuse': Loop(_CODEFUSE_SOURCE, ('<s>human\n', '\n'), '<s>bot\n', '\n{eos}', '', ('<s>system\n', '\n'),
                     systems=True, behind='\n'),
    'megrez': Loop(_LLAMA_CPP.format('Megrez-3B-Instruct'), _ROLE, '<|role_start|>assistant<|role_end|>',
                   '<|turn_end|>', '', _ROLE, other=_ROLE),
    'metharme': Loop('axolotl chat template metharme', ('<|user|>', ''), '<|model|>', '', '{bos}', ('<|system|>', ''),
                     no_system=_METHARME_SYSTEM, trim=('user', 'assistant'), closes='{eos}'),
    'orion_chat': Loop(_LLAMA_CPP.format('Orion-14B-Chat'), ('Human: ', '\n\nAssistant: {eos}'), '', '{eos}', '{bos}'),
    'falcon': Loop('vLLM examples/template_falcon.jinja', ('User: ', ''), 'Assistant:', '', lead=' ', between='\n',
                   prompted=('system', 'user', 'tool')),
    'falcon_180b': Loop('vLLM examples/template_falcon_180b.jinja', ('User: ', ''), 'Falcon:', '', '', ('System: ', ''),
                        systems=True, lead=' ', between='\n', prompted=('system', 'user', 'tool')),
}


def write_inkbot(c: Conversation, w: Writer) -> None:
    """Inkbot (vLLM examples/template_inkbot.jinja): contents are stripped, the last system text counts, and between
    two turns stands a line break, but none in front of a prompt."""
    w.text('<#meta#>\n- Date: \n- Task: \n<#system#>\n')
    systems = [turn for turn in c.turns if turn.role == 'system']
    if systems:
        w.said(systems[-1], systems[-1].content.strip())
    w.text('\n<#chat#>\n')
    for turn in c.turns:
        if turn.role not in ('user', 'assistant'):
            continue
        w.text('<#user#>\n' if turn.role == 'user' else '<#bot#>\n')
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn, turn.content.strip())
        w.end()
        w.text('' if turn is c.turns[-1] else '\n')
    if c.add_generation_prompt and (not c.turns or c.turns[-1].role != 'assistant'):
        w.text('<#bot#>\n')
