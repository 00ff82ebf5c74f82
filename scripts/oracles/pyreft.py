"""What pyreft's own interventions do with the same weights: makes ``tests/data/tuners/pyreft.safetensors``.

    pip download --no-deps pyreft==0.1.0 pyvene==0.1.8    # then unpack both wheels into one folder
    python scripts/oracles/pyreft.py FOLDER

pyreft 0.1.0 (Apache-2.0). Weights are drawn by ours and put into theirs; values and gradients that are written are
theirs. The gradient of the rotation is left out: the two parametrise it differently.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

from swift.tuners.methods.reft import KINDS, Intervention

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / 'tests' / 'data' / 'tuners' / 'pyreft.safetensors'
WIDTH, RANK = 16, 3


def stand_in_for_pyvene() -> None:
    """pyvene imports much that is not needed: its base classes only keep the width."""
    class Base(torch.nn.Module):
        def __init__(self, **options) -> None:
            super().__init__()
            self.embed_dim = options['embed_dim']

    module = ModuleType('pyvene')
    module.TrainableIntervention = Base
    for name in ('SourcelessIntervention', 'ConstantSourceIntervention', 'DistributedRepresentationIntervention'):
        setattr(module, name, type(name, (), {}))
    sys.modules['pyvene'] = module


def main(folder: Path) -> None:
    stand_in_for_pyvene()
    spec = importlib.util.spec_from_file_location('interventions', folder / 'pyreft' / 'interventions.py')
    theirs_of = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs_of)
    torch.manual_seed(0)
    found: dict[str, torch.Tensor] = {}
    for name, kind in KINDS.items():
        ours = Intervention(WIDTH, RANK, kind)
        theirs = getattr(theirs_of, name)(embed_dim=WIDTH, low_rank_dimension=RANK, dtype=torch.float32, add_bias=False)
        with torch.no_grad():
            if kind.rotates:
                theirs.rotate_layer.weight = ours.rotation().T.contiguous()
            else:
                theirs.proj_layer.weight.copy_(ours.projection.weight)
            if kind.reads:
                theirs.learned_source.load_state_dict(ours.source.state_dict())
            else:
                theirs.learned_source.copy_(ours.bias)
        x, weight = torch.randn(2, 5, WIDTH, requires_grad=True), torch.randn(2, 5, WIDTH)
        y = theirs(x)
        (y * weight).sum().backward()
        learned = theirs.learned_source.weight if kind.reads else theirs.learned_source
        kept = {'x': x, 'weight': weight, 'y': y, 'gradient.x': x.grad,
                'gradient.source.weight' if kind.reads else 'gradient.bias': learned.grad}
        if not kind.rotates:
            kept['gradient.projection.weight'] = theirs.proj_layer.weight.grad
        kept |= {f'state.{key}': tensor for key, tensor in ours.state_dict().items()}
        found |= {f'{name}.{key}': tensor.detach().clone().contiguous() for key, tensor in kept.items()}
    save_file(found, TARGET)
    print(f'{TARGET}: {len(found)} tensors of {len(KINDS)} interventions')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
