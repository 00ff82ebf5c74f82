"""What the papers' own packages do with a few gradients: makes ``tests/data/tuners/galore.safetensors``.

    pip download --no-deps galore-torch==1.0 q-galore-torch==1.0 apollo-torch==1.0.3    # then unpack each wheel
    python scripts/oracles/galore.py GALORE_FOLDER Q_GALORE_FOLDER [APOLLO_FOLDER]

galore-torch 1.0 and q-galore-torch 1.0 (both Apache-2.0) give the numbers that are written. apollo-torch 1.0.3
(CC BY-NC) is only run beside ours, and the largest difference printed: nothing of it is kept. Of each package the
classes are used as they are, but for the sign of singular vectors, which is arbitrary and is made ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / 'tests' / 'data' / 'tuners' / 'galore.safetensors'
SHAPES = {'tall': (20, 12), 'wide': (12, 20)}
STEPS, RANK, GAP, SCALE, LR = 8, 4, 3, 0.5, 0.01
BETAS, EPS = (0.9, 0.95), 1e-8
QUANT = {'quant': True, 'group_size': 16, 'n_bit': 4, 'cos_threshold': 0.0, 'gamma_proj': 2, 'queue_size': 1}


def signed(parent: type) -> type:
    """A projector whose singular vectors have their largest entry positive."""
    class Signed(parent):
        def get_orthogonal_matrix(self, weights, rank, type):
            found = super().get_orthogonal_matrix(weights, rank, type)
            both = found if isinstance(found, list) else [found]
            fixed = []
            for vectors in both:
                dim = 0 if vectors.shape[0] == weights.shape[0] and vectors.shape[1] == rank else 1
                largest = vectors.gather(dim, vectors.abs().argmax(dim, keepdim=True))
                fixed.append(vectors * torch.where(largest < 0, -1.0, 1.0))
            return fixed if isinstance(found, list) else fixed[0]
    return Signed


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inputs(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight [m, n] and gradients [steps, m, n] that change slowly, so that bases stay alike."""
    generator = torch.Generator().manual_seed(len(name))
    shape = SHAPES[name]
    common = torch.randn(shape, generator=generator)
    return torch.randn(shape, generator=generator), common + 0.3 * torch.randn((STEPS, *shape), generator=generator)


def run(optimizer_class: type, weight: torch.Tensor, gradients: torch.Tensor, projector: object | None,
        group: dict, **options) -> torch.Tensor:
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = optimizer_class([{'params': [parameter], **group}], lr=LR, betas=BETAS, eps=EPS,
                                no_deprecation_warning=True, **options)
    if projector is not None:
        optimizer.state[parameter]['projector'] = projector
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach().clone()


def main(argv: list[str]) -> int:
    galore, q_galore = (Path(word) for word in argv[:2])
    sys.path[:0] = [str(galore), str(ROOT)]
    optimizer = importlib.import_module('galore_torch.adamw')
    projector = signed(importlib.import_module('galore_torch.galore_projector').GaLoreProjector)
    coded = signed(module_at(q_galore / 'q_galore_torch' / 'q_galore_projector.py').GaLoreProjector)
    group = {'rank': RANK, 'update_proj_gap': GAP, 'scale': SCALE}
    tensors = {}
    for name in SHAPES:
        weight, gradients = inputs(name)
        tensors |= {f'{name}.weight': weight, f'{name}.gradients': gradients}
        for kind in ('std', 'reverse_std', 'left', 'right', 'full'):
            for steps in (1, STEPS):
                options = {'update_proj_gap': GAP, 'scale': SCALE, 'proj_type': kind}
                tensors[f'{name}.{kind}.{steps}'] = run(
                    optimizer.AdamW, weight, gradients[:steps], projector(RANK, **options),
                    {**group, 'proj_type': kind})
        options = {'update_proj_gap': GAP, 'scale': SCALE, 'proj_type': 'std'}
        tensors[f'{name}.coded'] = run(optimizer.AdamW, weight, gradients, coded(RANK, **options, **QUANT),
                                       {**group, 'proj_type': 'std'})
    save_file({key: value.contiguous() for key, value in tensors.items()}, TARGET, metadata={
        'made by': 'scripts/oracles/galore.py', 'galore-torch': '1.0, Apache-2.0', 'q-galore-torch': '1.0, Apache-2.0'})
    if len(argv) > 2:
        compare_apollo(Path(argv[2]))
    return 0


def compare_apollo(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    theirs = importlib.import_module('apollo_torch.apollo').AdamW
    from swift.tuners.optimizers.apollo import Apollo
    from swift.tuners.optimizers.projection import random_bases

    class Given:
        """Their projection with our random matrix."""
        def project(self, gradient, step):
            self.bases = random_bases(gradient.shape, self.rank, 'std', step // GAP, device=gradient.device,
                                      dtype=gradient.dtype)
            low = self.bases['left'].T @ gradient if 'left' in self.bases else gradient
            return low @ self.bases['right'].T if 'right' in self.bases else low

    for name in SHAPES:
        for rank, scale_type, scale in ((RANK, 'channel', 1.0), (1, 'tensor', 128.0)):
            weight, gradients = inputs(name)
            gradients = gradients * torch.linspace(1, 3, STEPS)[:, None, None]  # so that the limiter has work
            given = Given()
            given.rank = rank
            expected = run(theirs, weight, gradients, given, {
                'rank': rank, 'update_proj_gap': GAP, 'scale': scale, 'scale_type': scale_type, 'proj': 'random',
                'proj_type': 'std'})
            parameter = torch.nn.Parameter(weight.clone())
            ours = Apollo([{'params': [parameter], 'rank': rank}], lr=LR, betas=BETAS, eps=EPS, update_proj_gap=GAP,
                          scale=scale, per_tensor=scale_type == 'tensor')
            for gradient in gradients:
                parameter.grad = gradient.clone()
                ours.step()
            difference = (parameter - expected).abs().max() / (weight - expected).abs().max()
            print(f'apollo {name} {scale_type}: {difference:.1e} of the largest change')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
