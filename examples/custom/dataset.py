"""A data set of your own: `swift sft --custom_register_path examples/custom/dataset.py --dataset sums#50 ...`."""

from pathlib import Path

from swift.llm.dataset.registry import DATASETS, DatasetEntry


def convert(row):
    """One raw row as a row in any format that swift reads."""
    return {'query': f'What is {row["task"]}?', 'response': f'{row["way"]}\n\nAnswer: {row["result"]}'}


DATASETS.add(DatasetEntry('sums', files={'default': Path(__file__).with_name('sums.jsonl')}, convert=convert))
