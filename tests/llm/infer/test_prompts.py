"""An engine over a model with virtual tokens answers as peft's own generate does, one row or many."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model

from swift.llm.infer.transformers_engine import TransformersEngine
from swift.llm.protocol import InferRequest, RequestConfig

QUESTIONS = [InferRequest([{'role': 'user', 'content': text}]) for text in ('Hi', 'Tell me about the sea. ' * 3, 'z')]
CONFIGS = {'prompt': PromptTuningConfig, 'p': PromptEncoderConfig, 'prefix': PrefixTuningConfig}


@pytest.fixture(params=CONFIGS, scope='module')
def engine(request, wild_engine):
    base = wild_engine
    torch.manual_seed(0)
    config = CONFIGS[request.param](task_type='CAUSAL_LM', num_virtual_tokens=6)
    model = get_peft_model(copy.deepcopy(base.model), config)
    for parameter in model.prompt_encoder.parameters():
        parameter.data *= 2
    return TransformersEngine.from_parts(model, base.tokenizer, base.template, max_batch_size=3)


def answers(engine, **more) -> list[list[int]]:
    config = RequestConfig(temperature=0, max_tokens=12, **more)
    return [list(response.choices[0].token_ids) for response in engine.infer(QUESTIONS, config)]


def prompt_of(engine, question) -> torch.Tensor:
    return torch.tensor([engine.template.encode_prompt(question.messages)])


def theirs(engine, **more) -> list[list[int]]:
    """peft's own generate, row by row."""
    engine.model.eval()
    found = []
    for prompt in (prompt_of(engine, question) for question in QUESTIONS):
        out = engine.model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                                    max_new_tokens=12, **more)
        found.append([i for i in out[0, prompt.shape[1]:].tolist() if i != 2])
    return found


def test_greedy_answers_of_a_batch_are_those_of_peft_one_by_one(engine):
    wanted = theirs(engine)
    assert answers(engine) == wanted
    with engine.model.disable_adapter():
        assert theirs(engine) != wanted, 'the prompt says something'


def test_a_penalty_counts_no_virtual_token(engine):
    assert answers(engine, repetition_penalty=1.4) == theirs(engine, repetition_penalty=1.4)


def test_beams(engine):
    alone = TransformersEngine.from_parts(engine.model, engine.tokenizer, engine.template, max_batch_size=1)
    assert answers(engine, num_beams=3) == answers(alone, num_beams=3)
    if 'PREFIX' not in str(engine.model.peft_type):  # peft hands the cache of one row to all beams
        assert answers(engine, num_beams=3) == theirs(engine, num_beams=3)


def test_pieces_join_to_the_answer(engine):
    config = RequestConfig(temperature=0, max_tokens=12)
    text = ''.join(chunk.delta for chunk in engine.stream(QUESTIONS[1], config))
    assert text == engine.infer(QUESTIONS[1:2], config)[0].choices[0].message.content and text


def test_several_sampled_answers_differ(engine):
    choices = engine.infer(QUESTIONS[:1], RequestConfig(temperature=1.5, max_tokens=12, n=3, seed=1))[0].choices
    assert len({choice.token_ids for choice in choices}) == 3


def test_virtual_tokens_take_room(engine):
    free = 256 - 6 - prompt_of(engine, QUESTIONS[0]).shape[1]
    usage = engine.infer(QUESTIONS[:1], RequestConfig(temperature=0, max_tokens=500))[0].usage
    assert usage.completion_tokens <= free
    long = InferRequest([{'role': 'user', 'content': 'word ' * 240}])
    (response,) = engine.infer([long], RequestConfig(max_tokens=4))
    assert 'the model reads 256 tokens, 6 of them taken by the adapter' in (response.error or '')
