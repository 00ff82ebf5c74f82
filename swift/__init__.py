"""SWIFT: fine-tuning of large language models. Public names are imported when they are first used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from swift.utils.lazy import lazy_names
from swift.version import __version__

if TYPE_CHECKING:  # for editors and type checkers; a test compares it with _EXPORTS
    from swift.llm.args.commands import InferArguments, PtArguments, SftArguments
    from swift.llm.infer.transformers_engine import TransformersEngine
    from swift.llm.pipelines.infer import infer_main
    from swift.llm.pipelines.sft import pt_main, sft_main
    from swift.llm.protocol import InferRequest, RequestConfig
    from swift.tuners.api import LoraConfig, Swift

# Before anything imports peft, which imports bitsandbytes wherever it is installed: that tells of a kernel which nobody
# asked for, and with 8 bits has a line a layer about casts that are meant to be.
logging.getLogger('bitsandbytes').setLevel(logging.ERROR)

_EXPORTS = {
    'Swift': 'swift.tuners.api', 'LoraConfig': 'swift.tuners.api',
    'sft_main': 'swift.llm.pipelines.sft', 'pt_main': 'swift.llm.pipelines.sft',
    'infer_main': 'swift.llm.pipelines.infer',
    'SftArguments': 'swift.llm.args.commands', 'PtArguments': 'swift.llm.args.commands',
    'InferArguments': 'swift.llm.args.commands',
    'TransformersEngine': 'swift.llm.infer.transformers_engine',
    'InferRequest': 'swift.llm.protocol', 'RequestConfig': 'swift.llm.protocol',
}
__all__ = ['InferArguments', 'InferRequest', 'LoraConfig', 'PtArguments', 'RequestConfig', 'SftArguments', 'Swift',
           'TransformersEngine', '__version__', 'infer_main', 'pt_main', 'sft_main']

__getattr__, __dir__ = lazy_names(globals(), _EXPORTS)
