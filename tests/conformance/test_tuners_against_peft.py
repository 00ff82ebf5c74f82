"""Every method of peft, prepared by :class:`Swift`, trains bit by bit as plain ``get_peft_model`` does."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftConfig, get_peft_model

from swift.llm.args.groups import MethodArgs
from swift.llm.model.adapt import tuner_config
from swift.tuners.api import Swift
from swift.tuners.registry import TUNERS
from tests.conformance.test_tuners import OFTEN, SIZES, base_model, train, trained, tuner_args

OF_PEFT = [name for name in TUNERS.names() if TUNERS.get(name).native is None]


@pytest.mark.parametrize('method', [
    pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in OF_PEFT])
def test_three_steps_are_those_of_plain_peft(method):
    config = tuner_config(tuner_args(method), base_model(), None, MethodArgs(**SIZES.get(method, {})))
    assert isinstance(config, PeftConfig)
    results = []
    for prepare in (Swift.prepare_model, get_peft_model):
        base = base_model()
        torch.manual_seed(5)
        model = prepare(base, copy.deepcopy(config))
        losses = train(model, 3)
        results.append((losses, {name: weight.detach() for name, weight in trained(model).items()}))
    (ours, our_weights), (theirs, their_weights) = results
    assert ours == theirs and our_weights.keys() == their_weights.keys()
    assert all(torch.equal(weight, their_weights[name]) for name, weight in our_weights.items())
