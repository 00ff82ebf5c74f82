"""What each command takes: a list of groups, and the few defaults that one command has otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from swift.llm.args.groups import (
    DataArgs,
    GenerationArgs,
    InferArgs,
    MethodArgs,
    ModelArgs,
    QuantArgs,
    RunArgs,
    TemplateArgs,
    TrainArgs,
    TunerArgs,
)
from swift.llm.args.optimizing import OptimizingArgs
from swift.llm.args.parser import COMMANDS, Arguments, parse, to_argv, to_flat

__all__ = ['COMMANDS', 'Arguments', 'InferArguments', 'PtArguments', 'SftArguments', 'parse', 'to_argv', 'to_flat']


@dataclass(frozen=True)
class SftArguments(Arguments, command='sft'):
    """Supervised fine-tuning."""

    model: ModelArgs = field(default_factory=ModelArgs)
    quant: QuantArgs = field(default_factory=QuantArgs)
    template: TemplateArgs = field(default_factory=TemplateArgs)
    data: DataArgs = field(default_factory=DataArgs)
    tuner: TunerArgs = field(default_factory=TunerArgs)
    method: MethodArgs = field(default_factory=MethodArgs)
    train: TrainArgs = field(default_factory=TrainArgs)
    optimizing: OptimizingArgs = field(default_factory=OptimizingArgs)
    generation: GenerationArgs = field(default_factory=GenerationArgs)
    run: RunArgs = field(default_factory=RunArgs)


@dataclass(frozen=True)
class PtArguments(Arguments, command='pt'):
    """Pre-training on plain text: every token of a row is trained."""

    model: ModelArgs = field(default_factory=ModelArgs)
    quant: QuantArgs = field(default_factory=QuantArgs)
    template: TemplateArgs = field(default_factory=TemplateArgs)
    data: DataArgs = field(default_factory=lambda: DataArgs(lazy_tokenize=True))
    tuner: TunerArgs = field(default_factory=lambda: TunerArgs(tuner_type='full', target_modules=['ALL']))
    method: MethodArgs = field(default_factory=MethodArgs)
    train: TrainArgs = field(default_factory=lambda: TrainArgs(eval_steps=500))
    optimizing: OptimizingArgs = field(default_factory=OptimizingArgs)
    generation: GenerationArgs = field(default_factory=GenerationArgs)
    run: RunArgs = field(default_factory=RunArgs)


@dataclass(frozen=True)
class InferArguments(Arguments, command='infer'):
    """Chat with a model, or answer the rows of a data set."""

    model: ModelArgs = field(default_factory=ModelArgs)
    quant: QuantArgs = field(default_factory=QuantArgs)
    template: TemplateArgs = field(default_factory=lambda: TemplateArgs(max_length=-1))
    data: DataArgs = field(default_factory=DataArgs)
    generation: GenerationArgs = field(default_factory=GenerationArgs)
    infer: InferArgs = field(default_factory=InferArgs)
    run: RunArgs = field(default_factory=RunArgs)
