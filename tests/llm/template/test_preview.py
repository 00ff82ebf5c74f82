from __future__ import annotations

import re

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.encode import make_template
from swift.llm.template.preview import preview
from swift.llm.template.tokens import Encoded

ROW = {'messages': [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.', 'loss_scale': 0.5}]}


def test_trained_and_untrained_are_told_apart_by_text(tokenizer):
    template = make_template(TemplateArgs(), tokenizer)
    encoded = template.encode(ROW)
    text = preview(encoded, template, color=False)
    assert '\033' not in text
    assert re.search(r'^trained +assistant +2 x0.5 \[\[Hello·\d+ \.·\d+\]\]$', text, re.M)
    assert re.search(r'^trained +control +1 x0.5 \[\[<\|im_end\|>·2\]\]$', text, re.M)
    assert re.search(r'^untrained user +1 Hi·\d+$', text, re.M)
    assert text.startswith(f'{len(encoded)} tokens, [[trained]] 3, untrained {len(encoded) - 3}')
    assert '<|im_start|>·1 system·' in text and '\\n·198' in text


def test_and_by_colour(tokenizer):
    template = make_template(TemplateArgs(), tokenizer)
    text = preview(template.encode(ROW), template, color=True)
    assert '\033[32mtrained' in text and '\033[90muntrained' in text
    plain = re.sub(r'\033\[\d+m', '', text)
    assert plain == preview(template.encode(ROW), template, color=False)


def test_long_runs_are_shortened_and_authors_may_be_unknown(tokenizer):
    template = make_template(TemplateArgs(), tokenizer)
    encoded = template.encode({'messages': [{'role': 'user', 'content': 'word ' * 500},
                                            {'role': 'assistant', 'content': 'x'}]})
    text = preview(Encoded(encoded.input_ids, encoded.weights), template, color=False)
    assert '... 4' in text and len(text) < 3000
