from __future__ import annotations

import logging

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from swift.llm.infer.decoding import RepetitionPenalty, context_length
from swift.llm.infer.transformers_engine import TransformersEngine
from swift.llm.protocol import InferRequest, RequestConfig
from swift.utils.errors import RowError, UsageError

GREEDY = RequestConfig(temperature=0, max_tokens=16)


def ask(text: str) -> InferRequest:
    return InferRequest([{'role': 'user', 'content': text}])


QUESTIONS = [ask('Hi'), ask('Tell me about the sea. ' * 3), ask('a b c d e f g'), ask('What now?'), ask('z')]


def with_batch(engine: TransformersEngine, size: int) -> TransformersEngine:
    return TransformersEngine.from_parts(engine.model, engine.tokenizer, engine.template, max_batch_size=size)


def ids_of(engine: TransformersEngine, config: RequestConfig, questions=QUESTIONS) -> list[tuple[int, ...]]:
    return [choice.token_ids for response in engine.infer(questions, config) for choice in response.choices]


def plain(engine: TransformersEngine, question: InferRequest, **settings) -> list[int]:
    """The new tokens of transformers' own generate, with nothing of ours but the prompt."""
    prompt = torch.tensor([engine.template.encode_prompt(question.messages)])
    out = engine.model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
    return out[0, prompt.shape[1]:].tolist()


@pytest.mark.parametrize('config', [GREEDY, RequestConfig(temperature=0, max_tokens=16, repetition_penalty=1.4),
                                    RequestConfig(temperature=0, max_tokens=16, num_beams=2)])
def test_a_padded_batch_answers_like_one_by_one_and_like_plain_generate(wild_engine, config):
    together = ids_of(with_batch(wild_engine, 5), config)
    assert together == ids_of(with_batch(wild_engine, 1), config)
    expected = [plain(wild_engine, question, do_sample=False, max_new_tokens=16, num_beams=config.num_beams,
                      repetition_penalty=config.repetition_penalty or 1.0) for question in QUESTIONS]
    assert [list(ids) for ids in together] == [[i for i in ids if i != 2] for ids in expected]
    assert len({len(set(ids)) for ids in together}) > 1 or len(set(together[0])) > 5


def test_the_repetition_penalty_is_the_known_one(wild_engine):
    ids, scores = torch.tensor([[5, 6, 5, 9]]), torch.randn(1, 12)
    assert torch.equal(RepetitionPenalty(1.5, [0])(ids, scores),
                       RepetitionPenaltyLogitsProcessor(1.5)(ids, scores.clone()))
    padded = torch.tensor([[2, 2, 5, 6, 5, 9], [1, 2, 3, 4, 5, 6]])
    out = RepetitionPenalty(1.5, [2, 0])(padded, scores.repeat(2, 1))
    assert torch.equal(out[:1], RepetitionPenaltyLogitsProcessor(1.5)(ids, scores.clone()))


def test_nothing_given_means_the_checkpoint_own_sampling(wild_engine):
    """The folder's generation config samples; temperature 0 does not."""
    sampled = {ids_of(wild_engine, RequestConfig(max_tokens=8, seed=seed), QUESTIONS[:1])[0] for seed in range(4)}
    assert len(sampled) > 1
    greedy = {ids_of(wild_engine, RequestConfig(max_tokens=8, seed=seed, temperature=0), QUESTIONS[:1])[0]
              for seed in range(3)}
    assert len(greedy) == 1


def test_a_seed_repeats_the_draw_and_leaves_the_global_one_alone(wild_engine):
    config = RequestConfig(max_tokens=8, temperature=1.0, seed=5, n=2)
    before = torch.get_rng_state()
    first = ids_of(wild_engine, config, QUESTIONS[:2])
    assert torch.equal(torch.get_rng_state(), before)
    assert ids_of(wild_engine, config, QUESTIONS[:2]) == first
    assert len(set(first)) == 4
    chunks = list(wild_engine.stream(QUESTIONS[0], config))
    alone = wild_engine.infer(QUESTIONS[:1], config)[0]
    for index, choice in enumerate(alone.choices):
        assert ''.join(c.delta for c in chunks if c.index == index) == choice.message.content


@pytest.mark.parametrize('config', [RequestConfig(max_tokens=6, temperature=1.0, top_k=1),
                                    RequestConfig(max_tokens=6, temperature=5.0, top_p=1e-6)])
def test_top_k_and_top_p_narrow_the_draw(wild_engine, config):
    assert ids_of(wild_engine, config) == ids_of(wild_engine, RequestConfig(max_tokens=6, temperature=0))


def test_a_high_temperature_draws_from_everywhere(wild_engine):
    config = RequestConfig(max_tokens=30, temperature=100.0, top_k=0, top_p=1.0, seed=1)
    assert len(set(ids_of(wild_engine, config, QUESTIONS[:1])[0])) > 25


def test_no_setting_is_complained_about_and_the_model_is_left_as_it_was(wild_engine):
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda entry: said.append(entry.getMessage())
    own, was_training = wild_engine.model.generation_config, wild_engine.model.training
    wild_engine.model.train()
    logging.getLogger('transformers').addHandler(handler)
    try:
        for config in (GREEDY, RequestConfig(max_tokens=3), RequestConfig(max_tokens=3, temperature=0, num_beams=2)):
            wild_engine.infer(QUESTIONS, config)
        assert said == []
        assert wild_engine.model.generation_config is own
        assert wild_engine.model.training
    finally:
        logging.getLogger('transformers').removeHandler(handler)
        wild_engine.model.train(was_training)


def test_a_prompt_that_leaves_no_room_is_an_error_of_that_request(wild_engine):
    good, bad = wild_engine.infer([QUESTIONS[0], ask('too long ' * 300)], GREEDY)
    assert good.error is None
    assert 'reads 256 tokens' in bad.error


def test_an_answer_ends_at_the_context(wild_engine, caplog):
    engine = with_batch(wild_engine, 2)
    questions = [ask('word ' * 200), ask('word ' * 190)]
    rooms = [256 - len(engine.template.encode_prompt(question.messages)) for question in questions]
    logging.getLogger('swift').addHandler(caplog.handler)
    try:
        for max_tokens in (None, 1000, 1000):
            responses = engine.infer(questions, RequestConfig(temperature=0, max_tokens=max_tokens))
            assert [r.usage.completion_tokens for r in responses] == rooms
    finally:
        logging.getLogger('swift').removeHandler(caplog.handler)
    assert sum('max_tokens is 1000' in message for message in caplog.messages) == 1


def test_a_stop_string_that_is_a_special_token_ends_the_answer(wild_engine):
    """It has no text of its own: decoding leaves it out."""
    ids = ids_of(wild_engine, GREEDY, QUESTIONS[:1])[0]
    engine = with_batch(wild_engine, 1)
    engine._special = {'<stop>': ids[5]}
    response = engine.infer(QUESTIONS[:1], RequestConfig(temperature=0, max_tokens=16, stop=('<stop>',)))[0]
    assert response.choices[0].token_ids == ids[:ids.index(ids[5])]
    assert response.choices[0].finish_reason == 'stop'


def test_beams_stop_at_strings(wild_engine):
    config = RequestConfig(temperature=0, max_tokens=12, num_beams=3)
    whole = wild_engine.infer(QUESTIONS[:1], config)[0].text
    stop = whole[4:7]
    response = wild_engine.infer(QUESTIONS[:1], RequestConfig(temperature=0, max_tokens=12, num_beams=3,
                                                              stop=(stop,)))[0]
    assert stop not in response.text
    assert [len(wild_engine.infer(QUESTIONS[:1], RequestConfig(temperature=0, max_tokens=4, num_beams=3, n=2))[0]
                .choices)] == [2]


def test_closing_a_stream_stops_the_generation(wild_engine):
    steps = []
    hook = wild_engine.model.register_forward_hook(lambda *_: steps.append(1))
    try:
        chunks = wild_engine.stream(QUESTIONS[0], RequestConfig(temperature=0, max_tokens=200))
        next(chunks)
        chunks.close()
        done = len(steps)
        assert done < 150
        wild_engine.infer(QUESTIONS[:1], RequestConfig(temperature=0, max_tokens=1))
        assert len(steps) == done + 1  # nothing goes on behind our back
    finally:
        hook.remove()


def test_an_exception_while_streaming_reaches_the_caller(wild_engine):
    def fail(*_: object) -> None:
        raise RuntimeError('the device fell off')

    hook = wild_engine.model.register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match='fell off'):
            list(wild_engine.stream(QUESTIONS[0], GREEDY))
    finally:
        hook.remove()
    assert wild_engine.infer(QUESTIONS[:1], GREEDY)[0].error is None


def test_a_batch_that_does_not_fit_in_memory_is_halved(wild_engine, monkeypatch):
    sizes = []
    generate = wild_engine.model.generate

    def small_device(input_ids, **settings):
        sizes.append(len(input_ids))
        if len(input_ids) > 2 or input_ids.shape[1] > 200:
            raise torch.OutOfMemoryError
        return generate(input_ids=input_ids, **settings)

    expected = ids_of(with_batch(wild_engine, 1), GREEDY)
    monkeypatch.setattr(wild_engine.model, 'generate', small_device)
    engine = with_batch(wild_engine, 6)
    responses = engine.infer([*QUESTIONS, ask('word ' * 200)], GREEDY)
    assert [response.choices[0].token_ids for response in responses[:5]] == expected
    assert 'Out of memory with a prompt of' in responses[5].error
    assert sizes[0] == 6


def test_tools_go_into_the_prompt_or_are_an_error_of_that_request(wild_engine, monkeypatch):
    seen = []

    def encode_prompt(messages, tools=()):
        seen.append(list(tools))
        raise RowError('this template writes no tools')

    monkeypatch.setattr(wild_engine.template, 'encode_prompt', encode_prompt)
    response = wild_engine.infer([InferRequest(QUESTIONS[0].messages, [{'type': 'function'}])], GREEDY)[0]
    assert seen == [[{'type': 'function'}]]
    assert response.error == 'this template writes no tools'


def test_a_batch_size_of_nothing_is_refused(wild_engine):
    with pytest.raises(UsageError, match='--max_batch_size is 0'):
        with_batch(wild_engine, 0)


def test_context_length_is_read_under_every_known_name():
    from transformers import AutoModelForCausalLM, GPT2Config, MambaConfig

    gpt2 = AutoModelForCausalLM.from_config(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16, n_positions=77))
    mamba = AutoModelForCausalLM.from_config(MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=16))
    assert context_length(gpt2) == 77
    assert context_length(mamba) is None


def test_an_adapter_changes_the_answers(wild_model_dir, wild_engine, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(wild_model_dir)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=['q_proj', 'v_proj'], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / 'adapter')
    engine = TransformersEngine(str(wild_model_dir), adapters=[str(tmp_path / 'adapter')], max_batch_size=4)
    ids = ids_of(engine, GREEDY)
    assert ids != ids_of(wild_engine, GREEDY)
    assert ids == ids_of(TransformersEngine.from_parts(tuned, engine.tokenizer, engine.template), GREEDY)
    assert ids == ids_of(with_batch(engine, 1), GREEDY)
