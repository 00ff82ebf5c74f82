"""Single weights of a checkpoint, as they were before they were quantised while it was loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from swift.utils.errors import UsageError
from swift.utils.files import read_json


def whole_weights(folder: Path) -> Callable[[str], Tensor]:
    """A function from the name of a parameter to its weight in the checkpoint, which reads that one alone.

    Where transformers calls a part otherwise than the file does, the name with the longest common end is taken
    (``model.language_model.layers.0 ...`` is ``model.layers.0 ...`` in files of Qwen2-VL).

    The function raises:
        UsageError: no weight, or several, could be meant.
    """
    index = folder / 'model.safetensors.index.json'
    places: dict[str, Path] = {}
    if index.is_file():
        places = {name: folder / file for name, file in read_json(index)['weight_map'].items()}
    else:
        for path in sorted(folder.glob('*.safetensors')):
            with safe_open(path, framework='pt') as file:
                places |= dict.fromkeys(file.keys(), path)

    def read(name: str) -> Tensor:
        known = name if name in places else _same_end(name, places)
        with safe_open(places[known], framework='pt') as file:
            return file.get_tensor(known)

    return read


def _same_end(name: str, names: dict[str, Path]) -> str:
    lengths = {other: _common_end(name, other) for other in names}
    longest = max(lengths.values(), default=0)
    found = [other for other, length in lengths.items() if length == longest]
    if longest < 3 or len(found) > 1:  # the end of a layer's weight: its number, its part, 'weight'
        raise UsageError(f'--init_weights loftq: the checkpoint has no weight that is {name} beyond doubt; the model '
                         'is built otherwise than its files. Use --init_weights true.')
    return found[0]


def _common_end(one: str, other: str) -> int:
    pairs = zip(reversed(one.split('.')), reversed(other.split('.')), strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(one.count('.'), other.count('.')) + 1)
