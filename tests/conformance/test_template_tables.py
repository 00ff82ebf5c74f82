"""Every template of SWIFT's two tables: ours of that name writes what the parts of the row say.

``tests/data/registry/templates_seed.jsonl`` is the table of SWIFT 2, ``templates_newest.jsonl`` that of SWIFT 4. Where
a model's publisher writes a conversation otherwise, ours follows the publisher, and the row stands in
``template_exceptions.json`` with the reason.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import SwiftError

DATA = Path(__file__).parents[1] / 'data' / 'registry'
EXCEPTIONS = json.loads((DATA / 'template_exceptions.json').read_text(encoding='utf-8'))


def rows(table: str) -> list[dict]:
    lines = (DATA / f'templates_{table}.jsonl').read_text(encoding='utf-8').splitlines()
    return [{'table': table, **json.loads(line)} for line in lines]


WITH_PARTS = [row for table in ('seed', 'newest') for row in rows(table) if 'prompt' in row]
NAMES_ONLY = [row for row in rows('seed') if 'prompt' not in row]

# A small renderer of a row, which shares no code with ours.


BOS = ('<｜begin▁of▁sentence｜>', '<|begin_of_text|>', '<BOS_TOKEN>', '<bos>', '<s>')
EOS = ('<｜end▁of▁sentence｜>', '<|end_of_text|>', '</s>')
TURNS = {'user_token': '<_user>', 'bot_token': '<_bot>'}


def tokens_of(row: dict) -> dict[str | int, str]:
    """The special tokens of the model of a row, by its parts. A BOS that the tokenizer adds by itself is left out."""
    written = json.dumps([row.get('prefix'), row.get('system_prefix')], ensure_ascii=False)
    ended = json.dumps(row.get('suffix'), ensure_ascii=False)
    bos = next((token for token in BOS if token in written), '' if row.get('auto_add_bos') else '<bos>')
    eos = next((token for token in EOS if token in ended), '<eos>')
    numbers = {name for key in ('prefix', 'system_prefix', 'prompt', 'chat_sep', 'suffix')
               for part in row.get(key, []) if isinstance(part, list) for name in part if isinstance(name, int)}
    return {'bos_token': bos, 'eos_token': eos, 'pad_token': '<pad>', **TURNS, **{i: f'<{i}>' for i in numbers}}


def text_of(row: dict, parts: list, system: str = '', query: str = '', number: int = 0) -> str:
    texts = []
    tokens = tokens_of(row)
    for part in parts:
        if isinstance(part, str):
            for mark, text in (('SYSTEM', system), ('QUERY', query), ('ROUND0', str(number)),
                               ('ROUND1', str(number + 1))):
                part = part.replace(f'{{{{{mark}}}}}', text)
            texts.append(part)
        else:
            texts += [tokens[name if isinstance(name, int) else name.removesuffix('_id')] for name in part]
    return ''.join(texts)


def rendering_of(row: dict, system: str | None, pairs: list[tuple[str, str | None]]) -> str:
    """Raises KeyError where the row has no place for a system text, or for a further round."""
    head, with_system = row.get('prefix', []), row.get('system_prefix')
    if '{{SYSTEM}}' in str(head):
        head, with_system = [part for part in head if '{{SYSTEM}}' not in part], head
        head += [part.replace('{{SYSTEM}}', '') for part in with_system if '{{SYSTEM}}' in part]
    in_prompt = '{{SYSTEM}}' in str(row['prompt'])
    if system and with_system is None and not in_prompt:
        raise KeyError('system')
    out = text_of(row, with_system, system) if system and with_system is not None else text_of(row, head)
    for i, (query, answer) in enumerate(pairs):
        last = i == len(pairs) - 1
        if i and 'chat_sep' not in row and not row.get('support_multi_round'):
            raise KeyError('chat_sep')
        out += text_of(row, row.get('chat_sep', []), number=i - 1) if i else ''
        out += text_of(row, row['prompt'], (system or '') if last else '', query, i)
        if answer is None:
            out += row.get('thinking_prefix', '')
        else:
            out += row.get('non_thinking_prefix' if last else 'history_thinking_prefix', '') + answer
    return out + (text_of(row, row.get('suffix', [['eos_token_id']])) if pairs[-1][1] is not None else '')


SHAPES = list(product((None, 'Be brief.'), (1, 2), (False, True)))


def shape_id(shape: tuple) -> str:
    system, rounds, is_prompt = shape
    return f'{"system_" if system else ""}{rounds}{"_prompt" if is_prompt else ""}'


def both(row: dict, system: str | None, rounds: int, is_prompt: bool) -> tuple[str | None, str | None]:
    """(what the row says, what we write); None where one has no place for such a conversation."""
    pairs: list[tuple[str, str | None]] = [('one?', '1'), ('two?', '2')][:rounds]
    if is_prompt:
        pairs[-1] = (pairs[-1][0], None)
    template = template_of(row)
    default = row.get('default_system')
    if default is not None and row['table'] == 'seed' and ' ' not in default:
        default = template.default_system  # this table has the name of a constant, not the text
    try:
        theirs = rendering_of(row, default if system is None else system, pairs)
    except KeyError:
        theirs = None
    messages = [Message('system', system)] if system else []
    for query, answer in pairs:
        messages += [Message('user', query)] + ([] if answer is None else [Message('assistant', answer)])
    try:
        ours = render_case(template, messages, add_generation_prompt=is_prompt, tokens=tokens_of(row)).text
    except SwiftError:
        ours = None
    return theirs, ours


def template_of(row: dict):
    name = row['template_type']
    own = f'{name}-swift2'
    return TEMPLATES.get(own if row['table'] == 'seed' and own in TEMPLATES else name)


def row_id(row: dict) -> str:
    return f'{row["table"]}:{row["template_type"]}'


def differences(row: dict) -> list[str]:
    return [shape_id(shape) for shape in SHAPES if len(set(both(row, *shape))) > 1]


@pytest.mark.parametrize('row', WITH_PARTS, ids=row_id)
def test_a_row_renders_as_its_parts_say(row):
    reason = EXCEPTIONS['tables'].get(row_id(row))
    found = differences(row)
    if reason is None:
        theirs, ours = next((both(row, *shape) for shape in SHAPES if shape_id(shape) in found[:1]), (None, None))
        assert found == [], f'the row says {theirs!r}, ours is {ours!r}'
    else:
        assert found, f'{row_id(row)} renders as the table says: take it out of template_exceptions.json'


@pytest.mark.parametrize('row', NAMES_ONLY, ids=row_id)
def test_a_row_that_is_only_a_name_has_a_source_or_is_unproven(row):
    name = row['template_type']
    if name in EXCEPTIONS['unproven']:
        assert name not in TEMPLATES, f'{name} has a template: take it out of template_exceptions.json'
    else:
        assert TEMPLATES.get(name).source


def test_every_exception_is_about_a_row_and_says_why():
    known = {row_id(row) for row in WITH_PARTS}
    assert set(EXCEPTIONS['tables']) <= known
    assert set(EXCEPTIONS['unproven']) <= {row['template_type'] for row in NAMES_ONLY}
    assert all(len(reason) > 20 for table in EXCEPTIONS.values() for reason in table.values())
