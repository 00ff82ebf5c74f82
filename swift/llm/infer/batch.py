"""Answer the rows of a data set into a result file that an interrupted run can go on with.

It knows an engine, standard rows and one file; where rows come from and where the file lies is the caller's business.
Lines are in input order and are written as soon as their batch is answered, so a file always holds a prefix of the
results. A last line that was torn by an interruption is dropped when the run goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from swift.llm.infer.base import Engine
from swift.llm.infer.records import record
from swift.llm.protocol import InferRequest, InferResponse, Message, RequestConfig
from swift.utils.errors import SwiftError
from swift.utils.logging import get_logger

logger = get_logger()
SHOWN_WITHOUT_ASKING = 20  # with fewer rows than this each answer is printed, as SWIFT does


@dataclass(frozen=True)
class Asked:
    """One row as it is asked: the conversation without the answer that the data set has, and that answer."""

    prompt: tuple[Message, ...]
    label: str | None
    tools: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, row: dict[str, Any], system: str | None = None) -> Asked:
        """Read a standard row; a last assistant message is the label.

        Args:
            row: has ``messages``.
            system: goes in front of rows that have no system message.

        Raises:
            SwiftError: a message is malformed.
        """
        # what only training reads would keep equal conversations from comparing equal
        messages = [Message.from_dict({**m, 'loss': None, 'loss_scale': None}) for m in row['messages']]
        label = None
        if messages and messages[-1].role == 'assistant':
            label = messages.pop().content
        if system and not any(m.role == 'system' for m in messages):
            messages.insert(0, Message('system', system))
        return cls(tuple(messages), label, tuple(row.get('tools') or ()))


def run_batch(engine: Engine, rows: Sequence[dict[str, Any]], config: RequestConfig, *, result_path: Path | None,
              batch_size: int = 1, system: str | None = None, verbose: bool | None = None,
              show: Callable[[str], None] = tqdm.write) -> list[dict[str, Any]]:
    """Answer every row and return the lines of the result file.

    Args:
        engine: what answers.
        rows: standard rows.
        config: how to answer; pieces are not shown as they come.
        result_path: where lines go; a file that is there already is gone on with. None writes nothing.
        batch_size: rows handed to the engine at once.
        system: system prompt of rows that have none.
        verbose: print each answer; None prints when there are few.
        show: prints a line without breaking the progress bar.

    Raises:
        SwiftError: the result file belongs to other rows, or can't be written.
    """
    asked = [Asked.of(row, system) for row in rows]
    results = [] if result_path is None else read_results(result_path, asked)
    if results:
        logger.info('%s has %d of %d answers; going on after them.', result_path, len(results), len(asked))
    if verbose is None:
        verbose = len(asked) < SHOWN_WITHOUT_ASKING
    with ExitStack() as stack:
        file = None if result_path is None else stack.enter_context(_open_to_append(result_path))
        bar = stack.enter_context(tqdm(total=len(asked), initial=len(results), desc='infer', unit='row'))
        while len(results) < len(asked):
            batch = asked[len(results):len(results) + batch_size]
            responses = engine.infer([InferRequest(list(a.prompt), list(a.tools)) for a in batch], config)
            fresh = [_record_of(a, response) for a, response in zip(batch, responses, strict=True)]
            if file is not None:
                _append(file, fresh, result_path)
            results += fresh
            bar.update(len(fresh))
            if verbose:
                for number, value in enumerate(fresh, len(results) - len(fresh) + 1):
                    show(_told(number, value))
    failed = [i for i, value in enumerate(results, 1) if 'error' in value]
    if failed:
        logger.warning('%d of %d rows could not be answered; the first is row %d: %s', len(failed), len(results),
                       failed[0], results[failed[0] - 1]['error'])
    return results


def read_results(path: Path, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """What a result file holds already, after dropping a torn last line from the file.

    Raises:
        SwiftError: a line is not JSON, or the lines do not belong to these rows.
    """
    if not path.is_file():
        return []
    raw = path.read_bytes()
    whole = raw[:raw.rfind(b'\n') + 1]
    if len(whole) < len(raw):
        logger.info('%s ends in an unfinished line, which is dropped.', path)
        os.truncate(path, len(whole))
    results = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            value = json.loads(line)
        except ValueError as e:
            raise SwiftError(f'{path}, line {number}: not JSON ({e}). Remove the file or choose another '
                             '--result_path.') from e
        if number > len(asked) or not _belongs(value, asked[number - 1]):
            raise SwiftError(f'{path}, line {number} is not an answer to row {number} of this data set'
                             f'{f", which has {len(asked)} rows" if number > len(asked) else ""}: the file is from '
                             'another run. Remove it or choose another --result_path.')
        results.append(value)
    return results


def _belongs(value: Any, asked: Asked) -> bool:
    expected = record(asked.prompt, None, label=asked.label)
    if not isinstance(value, dict) or not isinstance(value.get('messages'), list):
        return False
    prompt = value['messages'][:len(asked.prompt)]
    return prompt == expected['messages'] and value.get('label') == asked.label and \
        len(value['messages']) - len(prompt) == ('error' not in value)


def _record_of(asked: Asked, response: InferResponse) -> dict[str, Any]:
    if response.error is not None:
        return record(asked.prompt, None, label=asked.label, error=response.error)
    return record(asked.prompt, response.text, label=asked.label)


def _open_to_append(path: Path) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, 'a', encoding='utf-8')
    except OSError as e:
        raise SwiftError(f'Can not write answers to {path}: {e.strerror or e}. Choose another place with '
                         '--result_path, or --save_result false.') from e


def _append(file: Any, values: Sequence[dict[str, Any]], path: Path | None) -> None:
    try:
        file.write(''.join(json.dumps(value, ensure_ascii=False) + '\n' for value in values))
        file.flush()
    except OSError as e:
        raise SwiftError(f'Can not write to {path}: {e.strerror or e}. What is there stays; the same command with '
                         f'--result_path {path} goes on after it.') from e


def _told(number: int, value: dict[str, Any]) -> str:
    lines = [f'[{number}] query: {value["query"]}']
    lines.append(f'    error: {value["error"]}' if 'error' in value else f'    response: {value["response"]}')
    if value['label'] is not None:
        lines.append(f'    label: {value["label"]}')
    return '\n'.join(lines)
