"""The quick way gives what the careful way gives, or leaves the text to it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.byte_level import ByteLevel
from swift.llm.template.encode import make_template
from swift.utils.errors import RowError

PLAIN = ['hello', ' world', '\n', '  ', 'é', '你好', '.', ' ', 'def f(x):\n    return', '👩‍👩‍👧', '\t', '\u2028',
         '\x00', '\r\n']
HARD = ['\n\n', '<|im_end|>', '<|im_start|>', '<', '|im_end|>', 'e\u0301', '<think>', '<|endoftext|>']


def rows(seed: int, pieces: list[str]) -> list[dict]:
    rng = random.Random(seed)

    def text() -> str:
        return ''.join(rng.choices(pieces, k=rng.randint(0, 12))).strip() or 'x'

    made = []
    for _ in range(300):
        turns = [{'role': 'system', 'content': text()}] if rng.random() < 0.3 else []
        for _ in range(rng.randint(1, 3)):
            turns += [{'role': 'user', 'content': text()}, {'role': 'assistant', 'content': text()}]
        made.append({'messages': turns})
    return made


@pytest.mark.parametrize('name', ['chatml', 'auto', 'pt'])
@pytest.mark.parametrize('pieces', [PLAIN, PLAIN * 3 + HARD, HARD], ids=['plain', 'mixed', 'hard'])
def test_both_ways_agree(tokenizer, name, pieces):
    template = make_template(TemplateArgs(template='auto' if name == 'pt' else name), tokenizer,
                             task='pt' if name == 'pt' else 'sft')
    rendered = [template.render(row) for row in rows(1, pieces)]
    tokeniser = template._tokeniser
    quick = tokeniser._quick.encode(rendered)
    if pieces is PLAIN:
        assert sum(one is None for one in quick) < 0.05 * len(quick)
    for ours, theirs in zip(tokeniser.encode(rendered), tokeniser._encode_carefully(rendered), strict=True):
        if isinstance(theirs, RowError):
            assert str(ours) == str(theirs)
            continue
        assert ours.input_ids.tolist() == theirs.input_ids.tolist()
        assert ours.weights.tolist() == theirs.weights.tolist()
        assert ours.kinds.tolist() == theirs.kinds.tolist()
        assert ours.cut == theirs.cut


def test_a_text_whose_tokens_are_not_its_bytes_is_left_alone_and_its_neighbours_are_not(tokenizer):
    template = make_template(TemplateArgs(template='chatml'), tokenizer)
    rendered = [template.render(row) for row in rows(2, ['word', ' '])[:9]]
    quick = template._tokeniser._quick
    sizes = quick._sizes.copy()
    sizes[tokenizer.convert_tokens_to_ids('q')] = 2  # as a tokenizer would have it that adds a character
    turns = [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]
    rendered[4] = template.render({'messages': turns})
    odd = ByteLevel(tokenizer, sizes, False, quick._forbidden)
    assert [one is None for one in odd.encode(rendered)] == [k == 4 for k in range(9)]


def test_other_tokenizers_are_not_taken(tokenizer):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    none = np.zeros((5, 1), bool)
    words = Tokenizer(models.WordLevel({'a': 0, '[UNK]': 1}, unk_token='[UNK]'))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    assert ByteLevel.of(PreTrainedTokenizerFast(tokenizer_object=words), none) is None
    assert ByteLevel.of(tokenizer, none) is not None
