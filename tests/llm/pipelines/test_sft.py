"""``swift sft`` end to end on a tiny model: what a user finds in the run folder, and that others can load it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift.llm.pipelines.sft import pt_main, sft_main
from swift.trainers.checkpointing import checkpoints_of
from swift.trainers.loss import causal_lm_loss
from swift.utils.errors import NonFiniteError, SwiftError, UsageError
from swift.utils.files import read_json, verify_manifest


def options(tiny_model_dir, chat_file, tmp_path, **more):
    return {'model': str(tiny_model_dir), 'dataset': [str(chat_file)], 'output_dir': str(tmp_path / 'out'),
            'batch_size': 2, 'gradient_accumulation_steps': 1, 'split_dataset_ratio': 0.2, 'eval_steps': 2,
            'logging_steps': 1, 'learning_rate': 1e-2, 'disable_tqdm': True, **more}


@pytest.fixture(scope='module')
def lora_run(tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp('lora')
    path = folder / 'rows.jsonl'
    path.write_text(''.join(json.dumps({'query': f'Count to {i}', 'response': ' '.join(map(str, range(i)))}) + '\n'
                            for i in range(1, 13)))
    return sft_main(options(tiny_model_dir, path, folder, target_modules=['ALL'], num_train_epochs=2))


def test_run_folder_has_what_the_docs_promise(lora_run):
    run_dir = lora_run.run_dir
    assert run_dir.parent.name == 'tiny-llama' and run_dir.name.startswith('v0-')
    assert {'args.json', 'logging.jsonl', 'images', 'runs', 'rejected.jsonl'} <= {p.name for p in run_dir.iterdir()}
    assert {'train_loss.png', 'learning_rate.png', 'grad_norm.png', 'token_acc.png', 'tokens_per_second.png',
            'eval_loss.png'} <= {p.name for p in (run_dir / 'images').iterdir()}
    assert any(path.name.startswith('events.out') for path in (run_dir / 'runs').rglob('*'))
    names = {p.name for p in lora_run.last_checkpoint.iterdir()}
    assert {'adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json', 'chat_template.jinja', 'args.json',
            'optimizer.safetensors', 'scheduler.json', 'rng_state_0.safetensors', 'trainer_state.json',
            'manifest.json'} <= names
    assert not [name for name in names if name.endswith(('.bin', '.pt', '.pth', '.pkl'))], 'no pickle in a checkpoint'
    assert verify_manifest(lora_run.last_checkpoint) is None
    assert len(checkpoints_of(run_dir)) <= 2


def test_log_rows_tell_the_course_of_training(lora_run):
    rows = [json.loads(line) for line in (lora_run.run_dir / 'logging.jsonl').read_text().splitlines()]
    train = [row for row in rows if 'loss' in row]
    assert [row['step'] for row in train] == list(range(1, 11))  # 10 rows in batches of 2, two epochs
    assert {'loss', 'grad_norm', 'learning_rate', 'token_acc', 'tokens_per_second', 'memory(GiB)', 'epoch',
            'elapsed_time', 'remaining_time', 'global_step/max_steps'} <= set(train[0])
    assert train[-1]['loss'] < train[0]['loss']
    assert {row['step'] for row in rows if 'eval_loss' in row} == {2, 4, 6, 8, 10}
    assert read_json(lora_run.run_dir / 'args.json')['args']['learning_rate'] == 1e-2


def test_best_checkpoint_is_the_one_with_the_lowest_eval_loss(lora_run):
    evals = {row['step']: row['eval_loss'] for row in lora_run.log_history if 'eval_loss' in row}
    assert lora_run.best_checkpoint.name == f'checkpoint-{min(evals, key=evals.get)}'
    assert lora_run.best_checkpoint.is_dir()


def test_adapter_in_plain_peft_generates_what_our_engine_does(lora_run, tiny_model_dir):
    from swift.llm import InferRequest, RequestConfig, TransformersEngine

    tokenizer = AutoTokenizer.from_pretrained(lora_run.last_checkpoint)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model_dir), lora_run.last_checkpoint)
    messages = [{'role': 'user', 'content': 'Count to 5'}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors='pt',
                                           return_dict=True)
    out = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt['input_ids'].shape[1]:].tolist()
    engine = TransformersEngine(str(tiny_model_dir), adapters=[str(lora_run.last_checkpoint)])
    response = engine.infer([InferRequest(messages)], RequestConfig(max_tokens=12, temperature=0))[0]
    assert list(response.choices[0].token_ids) == [i for i in out if i != tokenizer.eos_token_id]


def test_full_training_loads_in_plain_transformers(tiny_model_dir, chat_file, tmp_path):
    result = sft_main(options(tiny_model_dir, chat_file, tmp_path, sft_type='full', max_steps=2, eval_steps=1))
    before = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    after = AutoModelForCausalLM.from_pretrained(result.last_checkpoint)
    assert after.get_input_embeddings().weight is after.get_output_embeddings().weight, 'still tied'
    assert not torch.equal(before.model.embed_tokens.weight, after.model.embed_tokens.weight)
    assert AutoTokenizer.from_pretrained(result.last_checkpoint).chat_template


def test_pt_trains_every_token(tiny_model_dir, tmp_path):
    path = tmp_path / 'text.txt'
    path.write_text('The quick brown fox jumps over the lazy dog.\n' * 4)
    result = pt_main(options(tiny_model_dir, path, tmp_path, max_steps=1, split_dataset_ratio=0, save_strategy='no'))
    assert result.last_checkpoint is None
    assert math.isfinite(result.log_history[0]['loss'])


def final_weights(result):
    return load_file(next(result.last_checkpoint.glob('*model.safetensors')))


@pytest.mark.parametrize('tuner', ['lora', 'adalora', 'full'])
def test_resumed_run_is_bit_identical(tiny_model_dir, chat_file, tmp_path, tuner):
    """Stops in the middle of the second epoch of three; dropout is on."""
    more = {'sft_type': tuner, 'split_dataset_ratio': 0, 'num_train_epochs': 3, 'save_steps': 4, 'seed': 7,
            'save_total_limit': -1, 'full_determinism': True, 'lora_dropout': 0.3, 'batch_size': 1,
            'gradient_accumulation_steps': 2}
    whole = sft_main(options(tiny_model_dir, chat_file, tmp_path, **more))
    assert [p.name for p in checkpoints_of(whole.run_dir)][:3] == ['checkpoint-4', 'checkpoint-8', 'checkpoint-12']
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-8')})
    assert resumed.run_dir != whole.run_dir
    expected, got = final_weights(whole), final_weights(resumed)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    losses = [{row['step']: row['loss'] for row in r.log_history if 'loss' in row} for r in (whole, resumed)]
    assert losses[0] == losses[1]


def test_resume_latest_and_only_the_weights(tiny_model_dir, chat_file, tmp_path):
    first = sft_main(options(tiny_model_dir, chat_file, tmp_path, max_steps=2, split_dataset_ratio=0))
    again = sft_main({'resume_from_checkpoint': 'latest', 'resume_only_model': True,
                      'output_dir': str(tmp_path / 'out'), 'max_steps': 1, 'learning_rate': 0.0})
    assert again.log_history[0]['step'] == 1
    before, after = final_weights(first), final_weights(again)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_relative_paths_hold_for_a_resume_in_another_folder(tiny_model_dir, chat_file, tmp_path, monkeypatch):
    monkeypatch.chdir(chat_file.parent)
    (tmp_path / 'here').symlink_to(tiny_model_dir)
    first = sft_main(options('here', f'{chat_file.name}#10', tmp_path, save_steps=1, max_steps=1, eval_strategy='no'))
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    resumed = sft_main({'resume_from_checkpoint': str(first.last_checkpoint), 'max_steps': 2})
    assert resumed.last_checkpoint.name == 'checkpoint-2'


@pytest.mark.slow
@pytest.mark.parametrize('method', ['p_tuning', 'prefix_tuning'])
def test_a_resumed_prompt_is_bit_identical(method, tiny_model_dir, chat_file, tmp_path):
    """The adapter's file has the prompt alone; a run goes on with the network that makes it."""
    whole = sft_main(options(tiny_model_dir, chat_file, tmp_path, sft_type=method, split_dataset_ratio=0, max_steps=4,
                             save_steps=2, save_total_limit=-1, full_determinism=True))
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-2')})
    expected, got = final_weights(whole), final_weights(resumed)
    assert expected.keys() == got.keys() == {'prompt_embeddings'}
    assert torch.equal(expected['prompt_embeddings'], got['prompt_embeddings'])
    losses = [{row['step']: row['loss'] for row in r.log_history if 'loss' in row} for r in (whole, resumed)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize('method', ['reft', pytest.param('llamapro', marks=pytest.mark.slow)])
def test_a_resumed_tuner_of_ours_is_bit_identical(method, tiny_model_dir, chat_file, tmp_path):
    more = {'llamapro_num_new_blocks': 1} if method == 'llamapro' else {}
    whole = sft_main(options(tiny_model_dir, chat_file, tmp_path, sft_type=method, split_dataset_ratio=0, max_steps=4,
                             save_steps=2, save_total_limit=-1, full_determinism=True, **more))
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-2')})
    expected, got, start = final_weights(whole), final_weights(resumed), load_file(
        whole.run_dir / 'checkpoint-2' / 'adapter_model.safetensors')
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert not all(torch.equal(expected[name], start[name]) for name in expected)


@pytest.mark.slow
def test_rows_that_virtual_tokens_leave_no_room_for_are_told_with_numbers(tiny_model_dir, chat_file, tmp_path):
    chat_file.write_text(json.dumps({'query': 'word ' * 2000, 'response': 'ok'}) + '\n')
    more = {'sft_type': 'prompt_tuning', 'prompt_tuning_virtual_tokens': 100, 'max_steps': 1}
    with pytest.raises(UsageError, match=r'The longest row has 20\d\d tokens, and the adapter puts 100 in front of it: '
                                         r'together 21\d\d, and the model reads 2048. Give --max_length 1948'):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, split_dataset_ratio=0, **more))
    with pytest.raises(UsageError, match='A row of the stream may have 2048 tokens'):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, streaming=True, split_dataset_ratio=0, **more))


@pytest.mark.slow
def test_a_prompt_starts_as_its_text(tiny_model_dir, chat_file, tmp_path):
    run = sft_main(options(tiny_model_dir, chat_file, tmp_path, sft_type='prompt', prompt_tuning_init='text',
                           prompt_tuning_init_text='Add two numbers.', prompt_tuning_virtual_tokens=6, max_steps=1,
                           learning_rate=0.0, split_dataset_ratio=0))
    words = AutoTokenizer.from_pretrained(tiny_model_dir)('Add two numbers.')['input_ids']
    embeddings = AutoModelForCausalLM.from_pretrained(tiny_model_dir).get_input_embeddings().weight
    expected = embeddings[torch.tensor((words * 6)[:6])]
    assert torch.equal(final_weights(run)['prompt_embeddings'], expected)


def test_a_stream_is_resumed_in_its_second_pass(tiny_model_dir, chat_file, tmp_path):
    """Seven steps of two rows over a stream of five: no step ends where the stream does."""
    chat_file.write_text(''.join(chat_file.read_text().splitlines(keepends=True)[:5]))
    whole = sft_main(options(tiny_model_dir, chat_file, tmp_path, streaming=True, max_steps=7, save_steps=4,
                             split_dataset_ratio=0, full_determinism=True, save_total_limit=-1))
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-4')})
    expected, got = final_weights(whole), final_weights(resumed)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_a_checkpoint_without_optimizer_state_says_how_to_use_it(tiny_model_dir, chat_file, tmp_path):
    first = sft_main(options(tiny_model_dir, chat_file, tmp_path, max_steps=1, save_only_model=True))
    with pytest.raises(SwiftError, match='no optimizer state .*--resume_only_model true'):
        sft_main({'resume_from_checkpoint': str(first.last_checkpoint), 'max_steps': 2})


def test_a_disk_that_fills_up_under_the_tokenizer(tiny_model_dir, chat_file, tmp_path, monkeypatch):
    """The tokenizer's library raises a bare Exception where others raise OSError."""
    def full(*args, **kwargs):
        raise Exception('No space left on device (os error 28)')  # noqa: TRY002

    monkeypatch.setattr('transformers.PreTrainedTokenizerBase.save_pretrained', full)
    with pytest.raises(SwiftError, match='checkpoint-2 could not be written: the tokenizer: No space'):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, max_steps=2, save_steps=1))
    assert not list((tmp_path / 'out').rglob('.tmp-*'))


def test_an_output_dir_that_can_not_be_written_is_named(tiny_model_dir, chat_file, tmp_path):
    (tmp_path / 'out').touch()
    with pytest.raises(UsageError, match="--output_dir .*out can't be written to"):
        sft_main(options(tiny_model_dir, chat_file, tmp_path))


def test_an_interrupted_run_says_how_to_go_on(tiny_model_dir, chat_file, tmp_path, monkeypatch, caplog):
    steps = iter(range(3))

    def two_steps_then_ctrl_c(model, inputs, **kwargs):
        if next(steps) == 2:
            raise KeyboardInterrupt
        return causal_lm_loss(model, inputs, **kwargs)

    monkeypatch.setattr('swift.trainers.base.causal_lm_loss', two_steps_then_ctrl_c)
    monkeypatch.setattr('swift.llm.pipelines.sft.logger.propagate', True)
    with pytest.raises(KeyboardInterrupt):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, save_steps=1, eval_strategy='no'))
    assert 'Go on with: swift sft --resume_from_checkpoint ' in caplog.text
    assert caplog.text.rstrip().endswith('checkpoint-2')


@pytest.mark.parametrize('tuner', ['lora', 'full'])
def test_a_run_that_blows_up_stops_and_saves_nothing_of_it(tiny_model_dir, chat_file, tmp_path, tuner):
    with pytest.raises(NonFiniteError, match='(?s)(became|holds).*--learning_rate'):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, sft_type=tuner, learning_rate=1e30, max_grad_norm=0,
                         save_steps=1, warmup_ratio=0.0, max_steps=6))
    for checkpoint in (tmp_path / 'out').glob('*/*/checkpoint-*'):
        for tensors in map(load_file, checkpoint.glob('*model.safetensors')):
            assert all(torch.isfinite(t).all() for t in tensors.values())
    assert not list((tmp_path / 'out').rglob('.tmp-*'))


def test_out_of_memory_says_which_batch_and_what_to_do(tiny_model_dir, chat_file, tmp_path, monkeypatch):
    def no_memory(*args, **kwargs):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')

    monkeypatch.setattr('swift.trainers.base.causal_lm_loss', no_memory)
    with pytest.raises(SwiftError, match=r'step 1: a batch of 2 rows, \d+ tokens, the longest row \d+ tokens. '
                                         r'Cheapest change: --per_device_train_batch_size 1'):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, max_steps=1, split_dataset_ratio=0))


def test_resuming_with_other_rows_is_told(tiny_model_dir, chat_file, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr('swift.llm.pipelines.sft.logger.propagate', True)
    more = {'split_dataset_ratio': 0, 'save_steps': 1, 'max_steps': 1}
    first = sft_main(options(tiny_model_dir, chat_file, tmp_path, **more))
    sft_main({'resume_from_checkpoint': str(first.last_checkpoint), 'max_steps': 2})
    assert 'can not be continued' not in caplog.text
    chat_file.write_text(chat_file.read_text().replace('plus', 'and'))
    sft_main({'resume_from_checkpoint': str(first.last_checkpoint), 'max_steps': 2})
    assert 'the order of its rows can not be continued' in caplog.text


def test_a_short_stream_of_bad_rows_is_judged_at_its_end(tiny_model_dir, chat_file, tmp_path):
    rows = chat_file.read_text().splitlines(keepends=True)
    chat_file.write_text(''.join(rows[:9]) + '{"broken\n' * 3)
    with pytest.raises(SwiftError, match='--max_rejected_ratio'):
        sft_main(options(tiny_model_dir, chat_file, tmp_path, streaming=True, max_steps=7, split_dataset_ratio=0))
