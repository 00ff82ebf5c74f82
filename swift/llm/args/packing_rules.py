"""Rules about ``--packing`` and ``--max_tokens_per_batch``: several rows in one line, up to a number of tokens."""

from __future__ import annotations

from swift.llm.args.groups import TrainArgs
from swift.llm.args.tuner_types import METHODS


def packs(train: TrainArgs) -> str | None:
    """The flag, with its value, by which rows are packed; None when they are not."""
    if train.packing:
        return '--packing true'
    return None if train.max_tokens_per_batch is None else f'--max_tokens_per_batch {train.max_tokens_per_batch}'


def one_way_of_packing(args) -> str | None:
    train = args.train
    if train.packing_length is not None and not train.packing:
        return f'--packing_length {train.packing_length} is for --packing true.'
    if train.max_tokens_per_batch is None:
        return None
    if train.packing:
        return ('--packing true and --max_tokens_per_batch exclude each other: a micro-batch is either so many packed '
                'sequences or one line of so many tokens; keep one.')
    if train.per_device_train_batch_size > 1:
        return (f'--per_device_train_batch_size {train.per_device_train_batch_size} and --max_tokens_per_batch exclude '
                'each other: a micro-batch is either so many rows or so many tokens; keep one.')
    return None


def rows_may_share_a_line(args) -> str | None:
    flag, method = packs(args.train), METHODS.get(args.tuner.tuner_type)
    if flag is None:
        return None
    if args.template.padding_free is False:
        return f'{flag} puts rows into one line, which --padding_free false forbids; keep one of them.'
    if method is not None and method.needs_padding:
        return f'{flag} puts rows into one line, and --tuner_type {args.tuner.tuner_type} needs rows of their own.'
    if args.tuner.tuner_backend == 'unsloth':
        return f"{flag} puts rows into one line, which --tuner_backend unsloth's forward does not know; leave it out."
    return None


def rows_fit_what_is_packed(args) -> str | None:
    """Without a stream, rows of no limit are looked at when they are there."""
    train, longest = args.train, args.template.max_length
    flag = packs(train)
    if flag is None:
        return None
    size = train.packing_length if train.packing else train.max_tokens_per_batch
    if size is None and longest == -1:
        return f'{flag} needs --max_length or --packing_length, to know how long a packed sequence is.'
    if longest == -1 and args.data.streaming:
        return f'{flag} with --streaming true needs --max_length: a row must fit into what is packed.'
    if size is not None and size < longest:
        name = f'--packing_length {size}' if train.packing else flag
        return f'{name} is below --max_length {longest}, and a row must fit into what is packed; lower --max_length.'
    return None


RULES = (one_way_of_packing, rows_may_share_a_line, rows_fit_what_is_packed)
