"""What the arguments say about the tuning methods is what ``swift/tuners/methods`` has."""

from __future__ import annotations

import dataclasses
import typing

from swift.llm.args.groups import MethodArgs, TunerArgs
from swift.llm.args.tuner_types import LORA_FLAGS, METHODS, TunerType, owner, start_of
from swift.tuners.registry import TUNERS

FOUND = ('targets', 'modules_to_save', 'tokenizer')
ROWS = {'lora_ga_batch_size', 'lora_ga_iters', 'lora_ga_max_length', 'eva_rows', 'eva_batch_size', 'corda_rows'}


def test_both_know_the_same_methods():
    assert set(METHODS) == set(TUNERS.names())
    assert typing.get_args(TunerType) == (*METHODS, 'full')


def test_every_option_of_a_method_is_a_flag_with_the_same_default():
    fields = {field.name: field for group in (TunerArgs, MethodArgs) for field in dataclasses.fields(group)}
    for tuner in TUNERS:
        assert METHODS[tuner.name].has_targets == ('targets' in {f.name for f in dataclasses.fields(tuner.options)})
        own = [field for field in dataclasses.fields(tuner.options) if field.name not in FOUND]
        for field in own:
            assert field.name in METHODS[tuner.name].shared or owner(field.name) == tuner.name or (
                tuner.name == 'lora_llm' and start_of(field.name)), field.name
            assert field.type == fields[field.name].type or 'Literal' in fields[field.name].type, field.name
            assert _default(field) == _default(fields[field.name]), field.name
        read = {field.name for field in own} | {'lorap_lr_ratio', 'lorap_emb_lr'}  # these are read by the optimizer
        assert set(METHODS[tuner.name].shared) <= read, tuner.name


def test_every_flag_belongs_to_one_method_that_reads_it():
    for field in dataclasses.fields(MethodArgs):
        if field.name in ROWS:  # read where rows become batches
            assert start_of(field.name)
            continue
        assert field.name in {f.name for f in dataclasses.fields(TUNERS.get(owner(field.name)).options)}
    assert not [name for name in LORA_FLAGS if owner(name)]


def _default(field: dataclasses.Field) -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
