"""Large language models: training, inference and their arguments. Public names are imported when first used."""

from __future__ import annotations

from swift.utils.lazy import lazy_names

_EXPORTS = {
    'sft_main': 'swift.llm.pipelines.sft', 'pt_main': 'swift.llm.pipelines.sft',
    'infer_main': 'swift.llm.pipelines.infer',
    'SftArguments': 'swift.llm.args.commands', 'PtArguments': 'swift.llm.args.commands',
    'InferArguments': 'swift.llm.args.commands',
    'TransformersEngine': 'swift.llm.infer.transformers_engine',
    'InferRequest': 'swift.llm.protocol', 'RequestConfig': 'swift.llm.protocol',
}

__getattr__, __dir__ = lazy_names(globals(), _EXPORTS)
