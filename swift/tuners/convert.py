"""From the folders of ms-swift 2 and 3 with LoRA in a format of their own to plain peft.

Such a folder has one sub-folder an adapter; ``swift_type`` is LORA in its configuration, and its weights are named
``<module>.lora_A.<adapter>.weight``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import peft
from safetensors.torch import load_file, save_file

from swift.tuners import files
from swift.utils.errors import UsageError

_PREFIX = 'base_model.model.'
# extensions of that LoRA which peft has no place for
_EXTENSIONS = ('use_qa_lora', 'use_merged_linear', 'enable_lora')
_PARTS = 'lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|modules_to_save'


def to_peft_format(folder: Path, target: Path) -> list[str]:
    """Write every adapter in ``folder`` to ``target``, ``default`` at its root.

    Returns:
        The names of the adapters.

    Raises:
        UsageError: there are none, one is not a LoRA, or uses an extension that peft does not have.
    """
    names = sorted(path.parent.name for path in folder.glob(f'*/{files.CONFIG}'))
    if not names:
        raise UsageError(f'{folder} has no sub-folder with an {files.CONFIG}: it is in plain peft format already, or '
                         'not an adapter.')
    for name in names:
        values = files.read_config(folder / name)
        weights = {_peft_key(key, name): tensor for key, tensor in load_file(folder / name / files.WEIGHTS).items()}
        place = files.place_of(target, name)
        config = json.dumps(_peft_config(folder / name, values), indent=2)
        place.mkdir(parents=True, exist_ok=True)
        save_file(weights, place / files.WEIGHTS, metadata={'format': 'pt'})
        (place / files.CONFIG).write_text(config + '\n', encoding='utf-8')
    return names


def _peft_config(folder: Path, values: dict) -> dict:
    kind = values.get('swift_type', values.get('peft_type'))
    if kind != 'LORA':
        raise UsageError(f'{folder} holds an adapter of the kind {kind}; only LORA has a form in plain peft.')
    extended = [name for name in _EXTENSIONS if values.get(name)]
    if extended:
        raise UsageError(f'{folder} was trained with {extended[0]}, which plain peft does not have.')
    known = peft.LoraConfig().to_dict()
    return {**{name: value for name, value in values.items() if name in known}, 'peft_type': 'LORA'}


def _peft_key(key: str, adapter: str) -> str:
    """``model.q_proj.lora_A.default.weight`` -> ``base_model.model.model.q_proj.lora_A.weight``."""
    plain = re.sub(rf'\.({_PARTS})\.{re.escape(adapter)}(?=\.|$)', r'.\1', key.removeprefix(_PREFIX))
    return _PREFIX + plain.replace('.modules_to_save.', '.')
