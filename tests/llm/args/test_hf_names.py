from __future__ import annotations

import dataclasses

from swift.llm.args.commands import SftArguments
from swift.llm.args.hf_names import HF_NAMES, OPTIMIZERS, SCHEDULERS
from swift.llm.args.parser import pass_through


def test_every_name_of_the_installed_transformers_is_known():
    from transformers import TrainingArguments

    installed = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert not installed - set(HF_NAMES), 'add these to hf_names.py, or refuse them in aliases.py'
    assert len(HF_NAMES) == len(set(HF_NAMES))


def test_every_optimizer_and_schedule_of_the_installed_transformers_is_known():
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    assert {name.value for name in OptimizerNames} <= set(OPTIMIZERS)
    assert {name.value for name in SchedulerType} <= set(SCHEDULERS)


def test_what_we_decide_ourselves_does_not_pass_through():
    through = pass_through(SftArguments)
    assert not through & {'bf16', 'do_train', 'local_rank', 'remove_unused_columns', 'accelerator_config', 'output_dir'}
    assert {'run_name', 'tf32', 'torch_compile'} <= through
