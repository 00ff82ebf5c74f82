"""Programming and SQL."""

from __future__ import annotations

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry

ENTRIES = (
    DatasetEntry('synthetic-text-to-sql', 'AI-ModelScope/synthetic_text_to_sql', 'gretelai/synthetic_text_to_sql',
                 convert=shapes.sql_of_question, verified=True, tags=('nl2sql', 'en')),
    DatasetEntry('sql-create-context-en', 'AI-ModelScope/sql-create-context', 'b-mc2/sql-create-context',
                 columns={'question': 'instruction', 'context': 'input', 'answer': 'output'}, verified=True,
                 tags=('chat', 'sql', '🔥')),
    DatasetEntry('leetcode-python-en', 'AI-ModelScope/leetcode-solutions-python', convert=shapes.leetcode,
                 verified=True, tags=('chat', 'coding', '🔥')),
    DatasetEntry('text2sql-en', 'AI-ModelScope/texttosqlv2_25000_v2', 'Clinton/texttosqlv2_25000_v2',
                 tags=('chat', 'sql')),
    DatasetEntry('code-alpaca-en', 'wyj123456/code_alpaca_en', 'sahil2801/CodeAlpaca-20k', verified=True,
                 tags=('chat', 'coding')),
    DatasetEntry('codealpaca-20k', 'AI-ModelScope/CodeAlpaca-20k', 'HuggingFaceH4/CodeAlpaca_20K', verified=True,
                 tags=('code', 'en')),
    DatasetEntry('codefuse-evol-instruction-zh', 'codefuse-ai/Evol-instruction-66k',
                 columns={'instruction': 'query', 'output': 'response'}, verified=True, tags=('chat', 'coding', '🔥')),
    DatasetEntry('codefuse-python-en', 'codefuse-ai/CodeExercise-Python-27k', columns={'chat_rounds': 'messages'},
                 verified=True, tags=('chat', 'coding', '🔥')),
    DatasetEntry('open-r1/verifiable-coding-problems-python-10k', 'open-r1/verifiable-coding-problems-python-10k',
                 'open-r1/verifiable-coding-problems-python-10k',
                 columns={'prompt': 'query', 'gold_standard_solution': 'response'}, tags=('grpo', 'code')),
    DatasetEntry('open-r1/verifiable-coding-problems-python', 'open-r1/verifiable-coding-problems-python',
                 'open-r1/verifiable-coding-problems-python',
                 columns={'prompt': 'query', 'gold_standard_solution': 'response'}, tags=('grpo', 'code')),
    DatasetEntry('open-r1/verifiable-coding-problems-python-10k_decontaminated',
                 'open-r1/verifiable-coding-problems-python-10k_decontaminated',
                 'open-r1/verifiable-coding-problems-python-10k_decontaminated',
                 columns={'prompt': 'query', 'gold_standard_solution': 'response'}, tags=('grpo', 'code')),
    DatasetEntry('open-r1/verifiable-coding-problems-python_decontaminated',
                 'open-r1/verifiable-coding-problems-python_decontaminated',
                 'open-r1/verifiable-coding-problems-python_decontaminated',
                 columns={'prompt': 'query', 'gold_standard_solution': 'response'}, tags=('grpo', 'code')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
