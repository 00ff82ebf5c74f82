"""Plain text for pre-training."""

from __future__ import annotations

from swift.llm.dataset.registry import DATASETS, DatasetEntry

DATASETS.add(DatasetEntry('chinese-c4', ms_id='swift/chinese-c4', hf_id='shjwudp/chinese-c4',
                          tags=('pretrain', 'zh')))
