from __future__ import annotations

import random

import pytest

from swift.llm.dataset.quality.duplicates import ExactDuplicates, NearDuplicates
from swift.llm.dataset.quality.overlap import EvaluationSet, Overlap
from swift.llm.dataset.quality.words import digest, runs, words_of
from swift.utils import extras
from swift.utils.errors import MissingExtraError


def row(question: str, answer: str | None = 'yes', **more) -> dict:
    turns = [{'role': 'user', 'content': question}]
    return {'messages': turns + ([] if answer is None else [{'role': 'assistant', 'content': answer}]), **more}


def text(seed: int, words: int) -> str:
    rng = random.Random(seed)
    return ' '.join(f'w{rng.randrange(5000)}' for _ in range(words))


def test_words():
    assert words_of('Don\'t STOP, x_1!') == ['don', 't', 'stop', 'x', '1']
    assert words_of('北京abc很大') == ['北', '京', 'abc', '很', '大']
    assert list(runs(['a', 'b', 'c'], 2)) == ['a b', 'b c'] and list(runs(['a'], 2)) == []
    assert digest(['ab', 'c']) != digest(['a', 'bc'])


def test_exact_duplicates_compare_turns_and_tools():
    seen = ExactDuplicates()
    assert seen.add(0, row('q')) is None
    assert seen.add(1, row('q', label=True)) == 0
    assert seen.add(2, row('q', tools=[{'name': 'f'}])) is None
    assert seen.add(3, row('q ')) is None
    assert seen.add(4, row('q')) == 0


def test_one_answer_better_than_two_others_is_two_rows():
    seen = ExactDuplicates()
    for name in ('rejected_response', 'rejected_messages'):
        assert seen.add(0, row(name, **{name: 'a'})) is seen.add(1, row(name, **{name: 'b'})) is None
        assert seen.add(2, row(name, **{name: 'b'})) == 1


def test_near_duplicates_are_found_among_others():
    rows = [row(text(seed, 100)) for seed in range(60)]
    rows[40] = row(' '.join([*rows[7]['messages'][0]['content'].split()[:-2], 'other', 'end']))
    rows[41] = row(rows[7]['messages'][0]['content'].replace(' ', ', ').upper())  # case and punctuation don't count
    half = text(8, 100).split()[:50]
    rows[42] = row(' '.join(half) + ' ' + text(99, 50))
    near = NearDuplicates(0.8)
    for number, one in enumerate(rows):
        near.add(number, one)
    found = {number: (earlier, similarity) for number, earlier, similarity in near.pairs()}
    assert set(found) == {40, 41}
    assert found[41] == (7, 1.0) and found[40][0] == 7 and 0.8 <= found[40][1] < 1


def test_near_duplicates_agree_with_the_true_similarity():
    base = text(1, 200).split()
    near = NearDuplicates(0.7)
    near.add(0, row(' '.join(base), ''))
    kept = {}
    for number, changed in enumerate((5, 10, 60, 100), 1):
        words = base[:-changed] + text(number + 50, changed).split()
        a, b = set(runs(base, 5)), set(runs(words, 5))
        kept[number] = len(a & b) / len(a | b)
        near.add(number, row(' '.join(words), ''))
    found = {number: similarity for number, _, similarity in near.pairs()}
    assert set(found) == {1, 2} and kept[2] > 0.8 and kept[3] < 0.6
    assert all(abs(similarity - kept[number]) < 0.12 for number, similarity in found.items())


def test_no_rows_no_pairs():
    near = NearDuplicates(0.8)
    near.add(0, row('!', '?'))
    assert near.pairs() == []


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, 'installed_version', lambda package: None)
    with pytest.raises(MissingExtraError, match=r"'datasketch'.*pip install 'ms-swift\[data\]'"):
        NearDuplicates(0.8)


@pytest.fixture
def evaluation() -> EvaluationSet:
    evaluation = EvaluationSet(13)
    evaluation.add('ev, row 1', row('How many legs have two spiders and one ant together?', '22'))
    evaluation.add('ev, row 2', row('hi', 'hello'))
    evaluation.add('ev, row 3', row(text(5, 40), None))
    return evaluation


def test_equal_rows_and_equal_questions_are_of_the_evaluation_set(evaluation):
    assert evaluation.find(row('how many legs have two spiders, and one ant together', 'other')) == Overlap('ev, row 1')
    assert evaluation.find(row('Hi!', 'Hello.')) == Overlap('ev, row 2')
    assert evaluation.find(row('hi', 'good day')) is None  # so short a question alone says nothing
    assert evaluation.find(row(text(5, 40), 'x')) == Overlap('ev, row 3')


def test_a_run_of_words_is_enough(evaluation):
    words = text(5, 40).split()
    shared = evaluation.find(row('see: ' + ' '.join(words[10:23]) + ' and so on', 'x'))
    assert shared == Overlap('ev, row 3', ' '.join(words[10:23]))
    assert evaluation.find(row('see: ' + ' '.join(words[10:22]) + ' and so on', 'x')) is None
    inside = evaluation.find(row('He asked: how many legs have two spiders and one ant together? And I laughed.', 'x'))
    assert inside is not None and inside.row == 'ev, row 1'  # a text of 10 words counts whole


def test_what_many_evaluation_rows_say_is_a_phrase_of_the_task():
    phrase = 'answer the question below with one letter and nothing else at all please now'
    evaluation = EvaluationSet(13)
    for k in range(12):
        evaluation.add(f'row {k}', row(f'{phrase} {text(k, 30)}', None))
    assert evaluation.find(row(f'{phrase} {text(77, 30)}')) is None
    assert evaluation.find(row(text(3, 30))) is not None


def test_runs_of_words_can_be_turned_off():
    evaluation = EvaluationSet(0)
    evaluation.add('r', row(text(5, 40), None))
    assert evaluation.find(row(text(5, 40) + ' more')) is None
    assert evaluation.find(row(text(5, 40))) is not None
