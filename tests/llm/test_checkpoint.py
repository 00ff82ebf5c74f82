"""Names of run folders, and what a checkpoint's args.json hands on."""

from __future__ import annotations

from swift.llm import checkpoint
from swift.llm.args.commands import InferArguments, SftArguments


def test_runs_that_begin_together_get_a_folder_each(tmp_path, monkeypatch):
    assert checkpoint.claim_version(tmp_path, 0.0) == 0
    seen = iter([0, 1])  # the other run's folder was not there yet when this one looked
    monkeypatch.setattr(checkpoint, 'next_version', lambda parent: next(seen))
    assert checkpoint.claim_version(tmp_path, 0.0) == 1
    assert len(list(tmp_path.iterdir())) == 2


def saved_args(tmp_path, **flat):
    checkpoint.save_args(tmp_path, SftArguments.of(model='owner/name', dataset=['d'], **flat), {'template': 'qwen'})
    return checkpoint.read_saved_args(tmp_path)


def test_inference_takes_model_template_system_and_generation_settings(tmp_path):
    saved = saved_args(tmp_path, system='Be kind.', temperature=0.0, max_new_tokens=7, learning_rate=0.5)
    args = checkpoint.merge_for_inference(InferArguments.of(max_new_tokens=9), saved, with_data=False)
    assert (args.model.model, args.template.template, args.template.system) == ('owner/name', 'qwen', 'Be kind.')
    assert args.generation.temperature == 0.0
    assert args.generation.max_new_tokens == 9, 'what is typed wins'
    assert args.data.dataset == []
    assert checkpoint.merge_for_inference(args, saved, with_data=True).data.dataset == ['d']


def test_what_runs_code_and_what_is_secret_is_not_handed_on(tmp_path):
    (tmp_path / 'plugin.py').touch()
    saved = saved_args(tmp_path, external_plugins=[str(tmp_path / 'plugin.py')], trust_remote_code=True,
                       hub_token='secret')
    resumed = checkpoint.merge_for_resume(SftArguments.of(), saved)
    assert resumed.data.external_plugins == [] and not resumed.model.trust_remote_code
    assert 'secret' not in (tmp_path / 'args.json').read_text()
