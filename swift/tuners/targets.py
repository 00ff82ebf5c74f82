"""Which modules of a model an adapter goes on. Looks at modules and their names, never at a model's family."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from torch import nn

from swift.utils.errors import UsageError
from swift.utils.registry import suggest

_DEFAULT = ('DEFAULT', 'AUTO')
_ALL = ('ALL', 'ALL-LINEAR', 'ALL_LINEAR')
_EMBEDDING = 'EMBEDDING'
_NORMS = 'LN'
_EXPERTS = 'EXPERTS'
# the parts of a block, by what their names have in common in the models of transformers, diffusers and timm
_PARTS = {'BLOCK': r'', 'ATTENTION': r'attn|attention|mixer', 'MLP': r'mlp|feed_?forward|ffn|^ff$|moe'}
_LINEAR = ('Conv1D', 'HQQLinear', 'BaseQuantLinear')


def find_targets(model: nn.Module, words: Sequence[str], *, defaults: Sequence[str] = (), regex: str | None = None,
                 exclude: Collection[nn.Module] = (), whole: bool = False) -> list[str] | str:
    """Target modules as peft takes them: names that a module's name ends with, or one regular expression.

    Args:
        model: where to look.
        words: DEFAULT or AUTO (``defaults``, or ALL without any), ALL (every linear layer), EMBEDDING, LN (every
            normalisation), BLOCK (every block), ATTENTION and MLP (these parts of every block), or names. A part
            (``self_attn``, ``model.visual``) means its linear layers.
        defaults: what DEFAULT stands for.
        regex: replaces ``words``; matched against whole module names.
        exclude: modules that ALL leaves out: the output head.
        whole: a part means that part itself and not its linear layers.

    Raises:
        UsageError: a name or the expression matches nothing; the message lists the linear layers there are.
    """
    if regex is not None:
        return _checked_regex(model, regex)
    targets: list[str] = []
    for word in words:
        if word.upper() in _DEFAULT and defaults:
            targets += _checked_names(model, defaults, '--target_modules')
        elif word.upper() in (*_DEFAULT, *_ALL):
            targets += _short_names(model, linear_names(model, exclude))
        elif word.upper() == _EMBEDDING:
            targets += _short_names(model, embedding_names(model))
        elif word.upper() == _NORMS:
            targets += _short_names(model, norm_names(model))
        elif word.upper() in _PARTS:
            parts = block_parts(model, word.upper())
            targets += _short_names(model, parts if whole else [
                name for name in linear_names(model, exclude) if name.startswith(tuple(f'{part}.' for part in parts))])
        elif whole:
            targets += _checked_names(model, [word], '--target_modules')
        else:
            targets += _named(model, word, exclude)
    if not targets:
        raise UsageError(f'--target_modules found nothing to adapt.{_available(model)}')
    return list(dict.fromkeys(targets))


def find_saved(model: nn.Module, words: Sequence[str]) -> list[str]:
    """Names of modules to be trained whole: EMBEDDING, LN (every normalisation), or names.

    Raises:
        UsageError: a name matches nothing.
    """
    saved: list[str] = []
    for word in words:
        if word.upper() == _EMBEDDING:
            saved += _short_names(model, embedding_names(model))
        elif word.upper() == _NORMS:
            saved += _short_names(model, norm_names(model))
        else:
            saved += _checked_names(model, [word], '--modules_to_save')
    return list(dict.fromkeys(saved))


def without(model: nn.Module, targets: Sequence[str] | str, *, names: Sequence[str] = (),
            layers: Sequence[int] = ()) -> list[str]:
    """Full names of the modules that ``targets`` mean, less some.

    Args:
        targets: what :func:`find_targets` gave.
        names: leave these out: whole names, their ends, or parts of the model with all below them.
        layers: keep only these blocks of the model, counted from 0; empty keeps all.

    Raises:
        UsageError: a name or a number matches nothing, or nothing is left.
    """
    chosen = [name for name, _ in model.named_modules() if matches_target(name, targets)]
    for word in names:
        left = [name for name in chosen if not f'.{name}.'.count(f'.{word}.')]
        if len(left) == len(chosen):
            raise UsageError(f'--exclude_modules: no module with an adapter is called {word!r}.{_available(model)}')
        chosen = left
    numbers = {name: int(match[1]) for name in chosen if (match := re.search(r'\.(\d+)\.', name))}
    if lost := sorted(set(layers) - set(numbers.values())):
        raise UsageError(f'--layers_to_transform {lost[0]}: no module with an adapter is in such a block; there are '
                         f'{_ranges(numbers.values())}.')
    chosen = [name for name in chosen if not layers or numbers.get(name) in set(layers)]
    if not chosen:
        raise UsageError('--exclude_modules leaves no module that gets an adapter.')
    return chosen


def find_parameters(model: nn.Module, words: Sequence[str]) -> list[str]:
    """Names of bare parameters that get an adapter, as peft takes them: those of experts, which are no modules.

    Args:
        words: EXPERTS (every parameter of three dimensions), or names or their ends.

    Raises:
        UsageError: a name matches no parameter, or the model has no bare expert weights.
    """
    experts = expert_parameters(model)
    names = [name for name, _ in model.named_parameters()]
    found: list[str] = []
    for word in words:
        matching = experts if word.upper() == _EXPERTS else [word] if any(_matches(n, word) for n in names) else []
        if not matching:
            have = f' Bare expert weights here: {", ".join(_ends(experts))}.' if experts else (
                ' This model has no bare expert weights: its layers are modules, which --target_modules names.')
            raise UsageError(f'--target_parameters: no parameter is called {word!r}.{have}')
        found += _ends(matching)
    return list(dict.fromkeys(found))


def expert_parameters(model: nn.Module) -> list[str]:
    """Full names of the weights of experts that lie in one parameter ``[experts, ., .]`` instead of in modules."""
    return [name for name, parameter in model.named_parameters()
            if parameter.dim() == 3 and 'expert' in name and 'lora_' not in name]


def check_pattern(model: nn.Module, flag: str, pattern: Mapping[str, float], targets: Sequence[str] | str) -> None:
    """Raises:
        UsageError: a key of ``--lora_rank_pattern`` or ``--lora_alpha_pattern`` is no regular expression, or is for
            no module that gets an adapter.
    """
    names = [name for name, _ in model.named_modules() if matches_target(name, targets)]
    for key in pattern:
        try:
            expression = re.compile(rf'(.*\.)?({key})')
        except re.error as e:
            raise UsageError(f'{flag}: {key!r} is not a regular expression: {e}') from e
        if not any(expression.fullmatch(name) for name in names):
            raise UsageError(f'{flag}: {key!r} matches the end of no module that gets an adapter, for example of '
                             f'{names[0]}. It is a regular expression: "layers.0..*" is all of the first block.')


def matches_target(name: str, targets: Sequence[str] | str) -> bool:
    """peft's rule: one regular expression for whole names, or names and their ends."""
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(_matches(name, target) for target in targets)


def linear_names(model: nn.Module, exclude: Collection[nn.Module] = ()) -> list[str]:
    """Full names of every linear layer.

    GPT-2's ``Conv1D`` is a linear layer with its weight transposed, and HQQ, GPTQ and AWQ have classes of their own for
    quantised ones. All are known by the names of their classes, so that none of these packages has to be there.
    """
    left_out = {id(module) for module in exclude}
    return [name for name, module in model.named_modules() if id(module) not in left_out
            and (isinstance(module, nn.Linear) or any(cls.__name__ in _LINEAR for cls in type(module).__mro__))]


def embedding_names(model: nn.Module) -> list[str]:
    """Full names of every embedding table."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]


def norm_names(model: nn.Module) -> list[str]:
    """Full names of every normalisation."""
    return [name for name, module in model.named_modules() if is_norm(module)]


def is_norm(module: nn.Module) -> bool:
    """Whether it normalises; models bring their own RMSNorm classes, all named so."""
    return isinstance(module, (nn.LayerNorm, nn.RMSNorm)) or type(module).__name__.endswith('Norm')


def block_parts(model: nn.Module, word: str) -> list[str]:
    """Full names of every block (BLOCK), or of what attends (ATTENTION) or computes (MLP) in each.

    Raises:
        UsageError: the model has no blocks, or none of their parts is called so.
    """
    path = find_blocks(model)
    blocks = dict(model.get_submodule(path).named_children())
    if word == 'BLOCK':
        return [f'{path}.{index}' for index in blocks]
    found = [f'{path}.{index}.{name}' for index, block in blocks.items() for name, _ in block.named_children()
             if re.search(_PARTS[word], name) and 'norm' not in name]
    if not found:
        parts = dict.fromkeys(name for block in blocks.values() for name, _ in block.named_children())
        raise UsageError(f'--target_modules {word}: no part of {path} is called so; its parts are {", ".join(parts)}.')
    return found


def find_blocks(model: nn.Module) -> str:
    """Full name of the list of a model's blocks (``model.layers``, ``transformer.h``).

    It is the ``nn.ModuleList`` with the most parameters: experts and heads lie in lists inside it, vision towers in
    smaller ones beside it. Where a model has a part called ``language_model`` it is inside that.

    Raises:
        UsageError: the model has no list of modules.
    """
    sizes = {name: sum(map(parameter_size, module.parameters())) for name, module in model.named_modules()
             if isinstance(module, nn.ModuleList)}
    if not sizes:
        raise UsageError(f'{type(model).__name__} has no list of blocks (torch.nn.ModuleList), which methods that '
                         'train or add whole blocks need.')
    language = {name: size for name, size in sizes.items() if 'language_model' in name.split('.')}
    return max(language or sizes, key=sizes.__getitem__)


def blocks_at(model: nn.Module, path: str, flag: str) -> nn.ModuleList:
    """The list of blocks of this name.

    Raises:
        UsageError: there is none; ``flag`` sets the name.
    """
    blocks = dict(model.named_modules()).get(path)
    if not isinstance(blocks, nn.ModuleList):
        lists = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
        raise UsageError(f'{flag} {path}: {type(model).__name__} has no list of blocks of this name; its lists are '
                         f'{", ".join(lists[:8]) or "none"}.')
    return blocks


def parameter_size(parameter: nn.Parameter) -> int:
    """How many numbers it has; one that ZeRO-3 has spread over processes is empty here and keeps its size aside, and
    a byte of a 4-bit one of bitsandbytes holds two."""
    size = vars(parameter).get('ds_numel', parameter.numel())
    return 2 * size * parameter.element_size() if type(parameter).__name__ == 'Params4bit' else size


def _named(model: nn.Module, word: str, exclude: Collection[nn.Module]) -> list[str]:
    """The module of this name; where it is a part with linear layers below, those."""
    _checked_names(model, [word], '--target_modules')
    parts = tuple(f'{name}.' for name, module in model.named_modules() if _matches(name, word)
                  and not isinstance(module, nn.MultiheadAttention))
    below = [name for name in linear_names(model, exclude) if name.startswith(parts)] if parts else []
    return _short_names(model, below) if below else [word]


def _ends(names: Sequence[str]) -> list[str]:
    """Names without what counts blocks: ``mlp.experts.gate_up_proj``."""
    return list(dict.fromkeys(re.split(r'\.\d+\.', name)[-1] for name in names))


def _ranges(numbers: Collection[int]) -> str:
    return f'{min(numbers)} to {max(numbers)}' if numbers else 'none with a number'


def _short_names(model: nn.Module, names: Sequence[str]) -> list[str]:
    """The last parts of ``names`` where they match just these modules, else the full names."""
    wanted = set(names)
    short = list(dict.fromkeys(name.rpartition('.')[2] for name in names))
    matched = {name for name, _ in model.named_modules() if any(_matches(name, part) for part in short)}
    return short if matched == wanted and not any(part.isdigit() for part in short) else list(names)


def _matches(name: str, target: str) -> bool:
    """peft's rule: the whole name, or its end after a dot."""
    return name == target or name.endswith(f'.{target}')


def _checked_names(model: nn.Module, targets: Sequence[str], flag: str) -> list[str]:
    names = [name for name, _ in model.named_modules() if name]
    for target in targets:
        if not any(_matches(name, target) for name in names):
            parts = {name.rpartition('.')[2] for name in names}
            raise UsageError(f'{flag}: no module is called {target!r}.{suggest(target, parts)}{_available(model)}')
    return list(targets)


def _checked_regex(model: nn.Module, regex: str) -> str:
    try:
        pattern = re.compile(regex)
    except re.error as e:
        raise UsageError(f'--target_regex {regex!r} is not a regular expression: {e}') from e
    if not any(pattern.fullmatch(name) for name, _ in model.named_modules()):
        raise UsageError(f'--target_regex {regex!r} matches no whole module name.{_available(model)}')
    return regex


def _available(model: nn.Module) -> str:
    names = linear_names(model)
    short = sorted({name.rpartition('.')[2] for name in names})
    return f' Linear layers here: {", ".join(short)} (for example {names[0]}).' if names else ' It has no linear layer.'
