"""Large language models: training, inference and their arguments. Public names are imported when first used."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    'sft_main': 'swift.llm.pipelines.sft', 'pt_main': 'swift.llm.pipelines.sft',
    'infer_main': 'swift.llm.pipelines.infer',
    'SftArguments': 'swift.llm.args.commands', 'PtArguments': 'swift.llm.args.commands',
    'InferArguments': 'swift.llm.args.commands',
    'TransformersEngine': 'swift.llm.infer.transformers_engine',
    'InferRequest': 'swift.llm.protocol', 'RequestConfig': 'swift.llm.protocol',
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}; it has: {", ".join(sorted(_EXPORTS))}')
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
