"""LLaMA Pro: more blocks between those of a model, and only the new ones are trained.

LLaMA Pro (Wu et al. 2024, arXiv:2401.02415), section 3.2: the L blocks of a model are cut into G groups; behind each
group stand copies of its last P blocks, G * P new ones together. A block adds to its input,

    x' = x + attention(norm(x)),  y = x' + mlp(norm(x'))        x, y: [rows, positions, width],

and in a copy the last projections of both parts, W_O and W_2, are zero, so that y = x: the deeper model starts as the
base model, to the last bit. In blocks that normalise what a part gives back before they add it (Gemma 2 and 3, GLM 4,
OLMo 2) it is the scale of that normalisation which starts at zero: behind zero projections it would blow up the first
step of training to the size of the hidden state.

What is saved are the new blocks; merged they are blocks like all others of an ordinary, deeper checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from swift.tuners.copies import copy_module, copy_values, replace_module, trainable_copy
from swift.tuners.native import Handle, NativeConfig, NativeTuner
from swift.tuners.registry import TUNERS, Tuner
from swift.tuners.targets import blocks_at, find_blocks
from swift.utils.errors import UsageError

# What a part of a block calls the last linear layer, or the bare weight of it; the first that is there is it: Qwen 1
# has a w2 which is none, beside its c_proj.
OUTPUTS = ('o_proj', 'down_proj', 'out_proj', 'c_proj', 'dense_4h_to_h', 'fc2', 'fc_out', 'wo', 'dense',
           'output_linear', 'linear_2', 'w2')
# Names of the normalisations of what the parts give back, where a block has all of a line.
OUTPUT_NORMS = (('post_attention_layernorm', 'post_feedforward_layernorm'),
                ('post_self_attn_layernorm', 'post_mlp_layernorm'))
# What counts blocks: in the modules of a block, which of them it is; in a config or above the blocks, how many.
POSITIONS = ('layer_idx', 'layer_number', 'layer_id', 'block_idx')
DEPTHS = ('num_hidden_layers', 'num_layers', 'n_layer', 'n_layers')


@dataclass(frozen=True)
class LLaMAProConfig(NativeConfig):
    """Settings of LLaMA Pro; ``target_modules`` has no meaning here.

    Attributes:
        num_new_blocks: new blocks together, G * P.
        num_groups: G, which divides them; None: as many as there are new blocks.
        block_path: name of the list of blocks; empty: the largest list of the model.
        output_projections: last parts of the names of the modules or weights that write to the residual stream of a
            block, for models that call them otherwise than all others.
    """

    swift_type = 'llamapro'

    num_new_blocks: int = 4
    num_groups: int | None = None
    block_path: str = ''
    output_projections: list[str] = field(default_factory=list)

    def build(self, model: nn.Module) -> LLaMAProTuner:
        path = self.block_path or find_blocks(model)
        blocks = blocks_at(model, path, '--llamapro_block_path')
        _check_config(model)
        places = plan(len(blocks), self.num_new_blocks, self.num_groups or self.num_new_blocks)
        new = [_silent_copy(blocks[place.source], f'{path}.{place.source}', self.output_projections)
               for place in places]
        tuner = LLaMAProTuner(path, len(blocks), places, new)
        _check_deeper(model, tuner)
        return tuner


@dataclass(frozen=True)
class Place:
    """Where a new block goes: behind the block ``after`` of the base model; it is a copy of ``source``."""

    after: int
    source: int


def plan(depth: int, new: int, groups: int) -> list[Place]:
    """Places of the new blocks, in order. Where ``groups`` does not divide ``depth``, groups differ by one block.

    Raises:
        UsageError: the numbers don't fit each other.
    """
    if new < 1 or groups < 1 or new % groups:
        raise UsageError(f'num_groups {groups} must divide num_new_blocks {new}: every group gets as many '
                         '(--llamapro_num_groups, --llamapro_num_new_blocks).')
    each, ends = new // groups, [(group + 1) * depth // groups for group in range(groups)]
    if depth // groups < each:
        raise UsageError(f'num_new_blocks {new} in {groups} groups: a group of the {depth} blocks of this model has '
                         f'{depth // groups}, and {each} of each are copied. Lower --llamapro_num_new_blocks.')
    return [Place(end - 1, end - each + i) for end in ends for i in range(each)]


class LLaMAProTuner(NativeTuner):
    """New blocks, which stand between those of the model while it is attached.

    Args:
        path: name of the list of blocks.
        depth: blocks of the base model.
        places: of the new blocks.
        blocks: the new blocks, trained. They are kept and saved by their numbers in the deeper model, so that none
            goes to another place of a model of another depth.
    """

    renames = True

    def __init__(self, path: str, depth: int, places: list[Place], blocks: list[nn.Module]) -> None:
        super().__init__()
        self.path, self.depth, self.places = path, depth, places
        self.blocks = nn.ModuleDict({str(place.after + 1 + index): block
                                     for index, (place, block) in enumerate(zip(places, blocks, strict=True))})

    def attach(self, model: nn.Module) -> list[Handle]:
        """Numbers of blocks, in them and in the model's config, are those of the deeper model meanwhile."""
        return self._insert(model, list(self.blocks.values()), _Deeper)

    def merge(self, model: nn.Module) -> None:
        """New blocks as ordinary ones, in the types of those that they are copies of."""
        base = blocks_at(model, self.path, '--llamapro_block_path')
        merged = [_without_adapters(copy_module(base[place.source])) for place in self.places]
        for block, trained in zip(merged, self.blocks.values(), strict=True):
            copy_values(trained, block)
        self._insert(model, merged, nn.ModuleList)

    def _insert(self, model: nn.Module, new: list[nn.Module], kind: type[nn.ModuleList]) -> list[Handle]:
        present = blocks_at(model, self.path, '--llamapro_block_path')
        base = present.base if isinstance(present, _Deeper) else list(present)
        if len(base) != self.depth:
            raise UsageError(f'These new blocks are for a model of {self.depth} blocks; {self.path} has {len(base)}.')
        starts = [at for at, block in enumerate(present) if any(block is other for other in base)] + [len(present)]
        entries: list[_Entry] = []
        for index in range(self.depth):
            entries += [_Entry(present[at], at, at) for at in range(starts[index], starts[index + 1])]
            entries += [_Entry(block, place.source, starts[place.source])
                        for place, block in zip(self.places, new, strict=True) if place.after == index]
        blocks = kind(entry.block for entry in entries)
        if isinstance(blocks, _Deeper):
            blocks.base = base
        return [replace_module(model, self.path, blocks), *_numbered(entries),
                *_lengthened(model, self.path, len(present), [entry.source for entry in entries])]


@dataclass(frozen=True)
class _Entry:
    """A block of the deeper model.

    Attributes:
        number: what its modules count it as so far.
        source: the block of the model so far that is described by the same entries of lists in its config.
    """

    block: nn.Module
    number: int
    source: int


class _Deeper(nn.ModuleList):
    """A list of blocks with new ones in it; ``base`` are those of the model."""

    base: list[nn.Module]


@dataclass(frozen=True)
class _Changed:
    """An attribute with another value; the handle puts the old one back."""

    owner: dict[str, Any]
    name: str
    old: Any

    def remove(self) -> None:
        self.owner[self.name] = self.old


def _change(owner: Any, name: str, value: Any) -> _Changed:
    changed = _Changed(vars(owner), name, vars(owner)[name])
    vars(owner)[name] = value
    return changed


def _numbered(entries: list[_Entry]) -> list[_Changed]:
    """Give every block its new number; some families count from 1, which the old one tells."""
    changes = []
    for position, entry in enumerate(entries):
        for module in entry.block.modules():
            for name in POSITIONS:
                number = vars(module).get(name)
                if isinstance(number, int):
                    changes.append(_change(module, name, number - entry.number + position))
    return changes


def _lengthened(model: nn.Module, path: str, depth: int, sources: list[int]) -> list[_Changed]:
    """The depth, and lists with an entry for each block, in the config nearest above the blocks."""
    config = _config_above(model, path)
    changes = [_change(owner, name, len(sources))
               for owner in (model.get_submodule(path.rpartition('.')[0]), config) if owner is not None
               for name in DEPTHS if vars(owner).get(name) == depth]
    lists = [] if config is None else [(name, value) for name, value in vars(config).items() if 'layer' in name
                                       and isinstance(value, (list, tuple)) and len(value) == depth]
    return changes + [_change(config, name, type(value)(value[source] for source in sources))
                      for name, value in lists]


def _config_above(model: nn.Module, path: str) -> Any:
    """The config of the module that holds the blocks, or of the nearest above it that has one."""
    parts = path.split('.')[:-1]
    above = [model.get_submodule('.'.join(parts[:depth])) for depth in range(len(parts), -1, -1)]
    return next((vars(module)['config'] for module in above if 'config' in vars(module)), None)


# ------------------------------------------------------------------------------------------------------ a silent block

def _silent_copy(block: nn.Module, name: str, outputs: list[str]) -> nn.Module:
    """A trained copy that gives back what it is given.

    Raises:
        UsageError: a part of the block has no output projection that is known.
    """
    twin = _without_adapters(trainable_copy(block))
    norms = next(([child for child, _ in twin.named_children() if child in line] for line in OUTPUT_NORMS
                  if all(child in dict(twin.named_children()) for child in line)), [])
    with torch.no_grad():
        for norm in norms:
            _silence(twin.get_submodule(norm))
        for parameter in [] if norms else _output_weights(twin, name, outputs):
            parameter.zero_()
    return twin


def _without_adapters(block: nn.Module) -> nn.Module:
    """The block with its own layers in the place of those that peft has put around them."""
    for name, module in list(block.named_modules()):
        if isinstance(module, BaseTunerLayer):
            replace_module(block, name, module.get_base_layer())
    return block


def _silence(norm: nn.Module) -> None:
    """Make a normalisation give back zeros; its scale is the weight in most families, 1 + weight in Gemma."""
    for parameter in norm.parameters():
        parameter.zero_()
    weight = next(norm.parameters())
    if not weight.is_meta and norm(torch.ones(2, *weight.shape, device=weight.device)).any():
        weight.fill_(-1.0)


def _output_weights(block: nn.Module, name: str, outputs: list[str]) -> list[nn.Parameter]:
    """Weights and biases of the last layers of every part of a block."""
    if outputs and (found := _last_of(block, outputs)):
        return found
    parts = {child: module for child, module in block.named_children() if _has_matrices(module)}
    inside = {} if outputs else {child: found for child, module in parts.items() if (found := _last_of(module))}
    own = [] if outputs else _last_of(block, deep=False)  # two linear layers without an MLP around them
    bare = [child for child, module in parts.items() if child not in inside and not (own and _is_layer(module))]
    if bare or not parts:
        raise UsageError(f'{name}: which layer of {" and ".join(bare) or type(block).__name__} writes to the hidden '
                         f'state is not known; it has {", ".join(_leaves(block, bare))}. Name those of all parts in '
                         'output_projections (--llamapro_output_projections).')
    return [*own, *(parameter for found in inside.values() for parameter in found)]


def _last_of(module: nn.Module, outputs: Sequence[str] = (), *, deep: bool = True) -> list[nn.Parameter]:
    """Parameters of the output projections directly below each of the modules in ``module``: all of ``outputs``, or
    the first there is of those that are known."""
    found: list[nn.Parameter] = []
    for owner in module.modules() if deep else [module]:
        below = {name for name, _ in owner.named_children()} | {name for name, _ in owner.named_parameters(
            recurse=False)}
        chosen = [name for name in outputs if name in below] if outputs else \
            next(([name] for name in OUTPUTS if name in below), [])
        for name in chosen:
            found += [parameter for full, parameter in owner.named_parameters()
                      if full.startswith(f'{name}.') or full in (name, f'{name}_bias')]
    return found


def _has_matrices(module: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in module.parameters())


def _is_layer(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _leaves(block: nn.Module, parts: list[str]) -> list[str]:
    return [f'{part}.{name}'.removesuffix('.') for part in parts
            for name, module in block.get_submodule(part).named_modules()
            if _is_layer(module) and _has_matrices(module)]


# -------------------------------------------------------------------------------------------------------------- checks

def _check_config(model: nn.Module) -> None:
    """Raises:
        UsageError: the blocks are quantised, or the model is no decoder.
    """
    config = vars(model).get('config')
    if config is not None and 'quantization_config' in vars(config):
        raise UsageError('llamapro trains copies of whole blocks, which quantised blocks can not be; load the model '
                         'without --quant_method, or use lora.')
    if config is not None and vars(config).get('is_encoder_decoder'):
        raise UsageError(f'llamapro puts blocks into a decoder; {type(model).__name__} is an encoder and a decoder.')


def _check_deeper(model: nn.Module, tuner: LLaMAProTuner) -> None:
    """Try on the model what names can't tell: whether it starts as it is, and whether its config describes it.

    Raises:
        UsageError: the model is built otherwise than all that are known.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return
    before = _answers(model)
    handles = tuner.attach(model)
    try:
        after, problem = _answers(model), _not_described(model, tuner.path)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as e:  # of the code of the model
        raise UsageError(f'llamapro does not fit {type(model).__name__}: with more blocks it fails with {e!r}.') from e
    finally:
        while handles:
            handles.pop().remove()
    if before is not None and not torch.allclose(after, before, rtol=0, atol=1e-3 * float(before.abs().max())):
        raise UsageError(f'llamapro does not fit {type(model).__name__}: new blocks that should do nothing at the '
                         'start change what it answers.')
    if problem is not None:
        raise UsageError(f'llamapro does not fit {type(model).__name__}: a config with more blocks describes another '
                         f'model ({problem}), so that what is trained could not be merged. Other --llamapro_num_groups '
                         'may fit, and lora does.')


@torch.no_grad()
def _answers(model: nn.Module) -> torch.Tensor | None:
    """What the model gives for a few tokens; None for one that reads no tokens, or has no values yet."""
    weight = next(model.parameters())
    if model.main_input_name != 'input_ids' or weight.is_meta:
        return None
    training = [module for module in model.modules() if module.training]
    model.eval()
    ids = torch.arange(4, 12, device=model.get_input_embeddings().weight.device)[None]
    output = model(input_ids=ids, use_cache=False)[0].float()
    for module in training:
        module.training = True
    return output


def _not_described(model: nn.Module, path: str) -> str | None:
    """What a model built from the config of the deeper one has otherwise; None where nothing is."""
    from transformers.initialization import no_init_weights

    with no_init_weights(), torch.device('meta'):
        other = type(model)(copy.deepcopy(model.config))
    here, there = ({name.replace('.base_layer', ''): module for name, module in one.get_submodule(path).named_modules()}
                   for one in (model, other))
    for name, module in there.items():
        if name not in here:
            return f'{path}.{name} would be there'
        weights = dict(here[name].named_parameters(recurse=False))
        for key, parameter in module.named_parameters(recurse=False):
            if key not in weights or weights[key].shape != parameter.shape:
                return f'{path}.{name}.{key} would be {list(parameter.shape)}'
        for key, value in vars(module).items():
            if isinstance(value, (int, float, str)) and key not in _PASSING and vars(here[name]).get(key) != value:
                return f'{path}.{name}.{key} would be {value}'
    lost = [name for name in here if name not in there and 'lora_' not in name]
    return f'{path}.{lost[0]} would not be there' if lost else None


_PASSING = ('training', 'gradient_checkpointing')  # attributes that say nothing about what a module computes


# -------------------------------------------------------------------------------------------------------- command line

@dataclass(frozen=True)
class LLaMAProOptions:
    """Every field but the first has the name of its flag."""

    modules_to_save: list[str]
    llamapro_num_new_blocks: int = 4
    llamapro_num_groups: int | None = None
    llamapro_block_path: str = ''
    llamapro_output_projections: list[str] = field(default_factory=list)


def _llamapro(options: LLaMAProOptions) -> LLaMAProConfig:
    return LLaMAProConfig(
        num_new_blocks=options.llamapro_num_new_blocks, num_groups=options.llamapro_num_groups,
        block_path=options.llamapro_block_path, output_projections=options.llamapro_output_projections,
        modules_to_save=options.modules_to_save)


TUNERS.add(Tuner(name='llamapro', options=LLaMAProOptions, build=_llamapro, native=LLaMAProConfig))
