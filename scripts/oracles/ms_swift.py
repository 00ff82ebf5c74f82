"""What the modules of ms-swift 2.6.1 do with random weights: makes ``tests/data/tuners/ms_swift.safetensors``.

    pip download --no-deps ms-swift==2.6.1    # then unpack the wheel
    python scripts/oracles/ms_swift.py FOLDER

ms-swift 2.6.1 (Apache-2.0). Its files of single tuners are run as they are, in float64, with stand-ins for the rest of
the package, which has the name of ours. Of each module the weights, inputs, outputs and gradients are written, under
its own names; ``tests/tuners/test_against_ms_swift.py`` puts the weights into ours.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / 'tests' / 'data' / 'tuners' / 'ms_swift.safetensors'
FILES = ('restuning_components', 'scetuning.scetuning_components', 'adapter', 'prompt', 'side', 'restuning',
         'scetuning.scetuning')
# as in the test
GATED = {'lateral_cfg': {'res_adapter': {'adapter_length': 6, 'adapter_weight': 'scale_channel'}},
         'vertical_cfg': {'res_adapter': {'adapter_length': 3, 'adapter_weight': 'gate'}}}


class _Plugin:
    """What their modules inherit for switching them on and off, which nobody does here."""

    def __init__(self, key: str | None = None) -> None: ...

    def mark_all_sub_modules_as_plugin(self) -> None: ...

    def is_activated(self, name: str) -> bool:
        return True


def stand_in(name: str, **members: object) -> None:
    module = ModuleType(name)
    vars(module).update(members, __path__=[])
    sys.modules[name] = module


def load(folder: Path) -> dict[str, ModuleType]:
    logger = {'get_logger': lambda *_: logging.getLogger()}
    stand_in('swift', **logger)
    stand_in('swift.utils')
    stand_in('swift.utils.logger', **logger)
    stand_in('swift.utils.torch_utils', find_sub_module=None)
    stand_in('swift.tuners')
    stand_in('swift.tuners.scetuning')
    stand_in('swift.tuners.utils', ActivationMixin=_Plugin, SwiftAdapter=object, SwiftConfig=object, SwiftOutput=object)
    stand_in('swift.tuners.mapping', SwiftTuners=type('SwiftTuners', (), dict.fromkeys(
        ('ADAPTER', 'PROMPT', 'SIDE', 'RESTUNING', 'SCETUNING', 'NEFTUNE'), '')))
    loaded = {}
    for name in FILES:
        spec = importlib.util.spec_from_file_location(
            f'swift.tuners.{name}', folder / 'swift' / 'tuners' / f'{name.replace(".", "/")}.py')
        sys.modules[spec.name] = loaded[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    return loaded


def record(name: str, module: nn.Module, inputs: list[Tensor],
           call: Callable[..., Tensor] | None = None) -> dict[str, Tensor]:
    """Weights, inputs, output, a gradient of it, and what that gives; under ``name.``."""
    weights = dict(module.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.copy_(0.3 * torch.randn_like(weight))
    inputs = [one.requires_grad_() for one in inputs]
    output = (call or module)(*inputs)
    above = torch.randn_like(output)
    gradients = torch.autograd.grad(output, [*weights.values(), *inputs], above, allow_unused=True)
    found = {'output': output, 'above': above}
    found |= {f'input.{i}': one for i, one in enumerate(inputs)}
    found |= {f'weight.{key}': weight for key, weight in weights.items()}
    names = [*(f'gradient.{key}' for key in weights), *(f'gradient.input.{i}' for i in range(len(inputs)))]
    found |= {key: one for key, one in zip(names, gradients, strict=True) if one is not None}
    return {f'{name}/{key}': tensor.detach().clone().contiguous() for key, tensor in found.items()}


def main(folder: Path) -> None:
    theirs = load(folder)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    adapter = theirs['adapter'].AdapterModule(8, 'x', 'key', 5, nn.GELU)
    found = record('adapter', adapter, [torch.randn(2, 3, 8)])
    side = theirs['side'].SideModule(8, 'x', 'key', 'mlp')
    found |= record('side', side, [torch.randn(2, 3, 8), torch.randn(2, 3, 8)])
    sce = theirs['scetuning.scetuning'].SCETunerModule('SCEAdapter', 'x', '0', 8, 4)
    found |= record('sce', sce, [torch.randn(2, 8, 3, 5)])
    for front in (True, False):
        prompts = nn.ModuleList([theirs['prompt'].PromptModule(8, i, 'x', 'key', 4, 0.0, front) for i in range(2)])
        found |= record(f'prompt_{"front" if front else "back"}', prompts, [torch.randn(2, 6, 8)],
                        lambda x, prompts=prompts: prompts[1](prompts[0](x) * 2))
    for name, config in (('restuning', 'res_adapter'), ('restuning_gated', GATED)):
        bypass = theirs['restuning'].ResTuningBypassModule(8, 3, 'x', tuner_cfg=config)
        found |= record(name, bypass, [torch.randn(2, 3, 8) for _ in range(4)],
                        lambda *inputs, bypass=bypass: bypass(list(inputs), None))
    save_file(found, TARGET)
    print(f'{TARGET}: {len(found)} tensors')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
