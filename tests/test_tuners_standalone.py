"""``swift.tuners`` works where the rest of the project can't be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CHILD = '''
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(('swift.llm', 'swift.trainers', 'swift.ui', 'swift.cli', 'swift.kernels')):
            raise ImportError(f'{name} is not here')

sys.meta_path.insert(0, Refuse())
import torch
from torch import nn
from swift.tuners.api import LoraConfig, Swift
from swift.tuners.targets import find_targets

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

x = torch.ones(3, 4)
base = make()
model = Swift.prepare_model(base, LoraConfig(r=2, target_modules=find_targets(base, ['ALL'])))
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
start = model(x)
start.sum().backward()
optimizer.step()
trained = model(x)
assert not torch.allclose(start, trained)
Swift.save_pretrained(model, sys.argv[1])
assert torch.allclose(Swift.from_pretrained(make(), sys.argv[1])(x), trained)
assert torch.allclose(Swift.merge_and_unload(model)(x), trained, atol=1e-6)
print('done', sorted(name for name in sys.modules if name.startswith('swift')))
'''


def test_tuners_need_nothing_else_of_the_project(tmp_path):
    child = subprocess.run([sys.executable, '-c', _CHILD, str(tmp_path)], capture_output=True, text=True, timeout=300,
                           cwd=Path(__file__).parent.parent)
    assert child.returncode == 0, child.stderr
    assert 'swift.utils.errors' in child.stdout and 'swift.llm' not in child.stdout
