"""Mathematics."""

from __future__ import annotations

from functools import partial

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry, Subset

ENTRIES = (
    DatasetEntry('blossom-math-zh', 'AI-ModelScope/blossom-math-v2', 'Azure99/blossom-math-v2',
                 convert=partial(shapes.filled, query='{input}', response='{output}\n\nAnswer: {answer}'),
                 verified=True, tags=('chat', 'math', '🔥')),
    DatasetEntry('school-math-zh', 'AI-ModelScope/school_math_0.25M', 'BelleGroup/school_math_0.25M', verified=True,
                 tags=('chat', 'math', 'quality')),
    DatasetEntry('math-plus', 'TIGER-Lab/MATH-plus', 'TIGER-Lab/MATH-plus', subsets=('train',), verified=True,
                 tags=('qa', 'math', 'en', 'quality')),
    DatasetEntry('web-instruct-sub', 'swift/WebInstructSub', 'TIGER-Lab/WebInstructSub',
                 columns={'question': 'query', 'answer': 'response'}, huge=True, verified=True,
                 tags=('qa', 'en', 'math', 'quality', 'multi-domain', 'science')),
    DatasetEntry('belle-math-0.25M', 'AI-ModelScope/school_math_0.25M', 'BelleGroup/school_math_0.25M', verified=True,
                 tags=('math', 'zh')),
    DatasetEntry('open-platypus-en', 'AI-ModelScope/Open-Platypus', 'garage-bAInd/Open-Platypus', verified=True,
                 tags=('chat', 'math', 'quality')),
    DatasetEntry('math-instruct', 'AI-ModelScope/MathInstruct', 'TIGER-Lab/MathInstruct',
                 columns={'instruction': 'query', 'output': 'response'}, verified=True,
                 tags=('math', 'cot', 'en', 'quality')),
    DatasetEntry('AI-ModelScope/math-trn-format', 'AI-ModelScope/math-trn-format', verified=True, tags=('math',)),
    DatasetEntry('tastelikefeet/competition_math', 'tastelikefeet/competition_math',
                 subsets=(Subset('default', split=('train', 'test')),), verified=True, tags=('qa', 'math')),
    DatasetEntry('modelscope/gsm8k', 'modelscope/gsm8k', 'openai/gsm8k', subsets=('main',),
                 convert=partial(shapes.with_solution, column='answer'), verified=True, tags=('qa', 'math')),
    DatasetEntry('modelscope/MathR', 'modelscope/MathR', subsets=('default', 'clean'), tags=('qa', 'math')),
    DatasetEntry('modelscope/MathR-32B-Distill', 'modelscope/MathR-32B-Distill', subsets=('data',),
                 tags=('qa', 'math')),
    DatasetEntry('zouxuhong/Countdown-Tasks-3to4', 'zouxuhong/Countdown-Tasks-3to4', convert=shapes.countdown,
                 verified=True, tags=('math',)),
    DatasetEntry('open-r1/DAPO-Math-17k-Processed', 'open-r1/DAPO-Math-17k-Processed',
                 'open-r1/DAPO-Math-17k-Processed', subsets=('all',), verified=True, tags=('math', 'rlvr')),
    DatasetEntry('sapientinc/sudoku-extreme-1k', 'sapientinc/sudoku-extreme-1k', 'sapientinc/sudoku-extreme-1k',
                 verified=True),
    DatasetEntry('AI-ModelScope/school_math_0.25M', 'AI-ModelScope/school_math_0.25M', 'BelleGroup/school_math_0.25M',
                 verified=True, tags=('chat', 'math', 'quality')),
    DatasetEntry('AI-ModelScope/MATH-lighteval', 'AI-ModelScope/MATH-lighteval', 'DigitalLearningGmbH/MATH-lighteval',
                 verified=True, tags=('grpo', 'math')),
    DatasetEntry('AI-MO/NuminaMath-CoT', 'AI-MO/NuminaMath-CoT', 'AI-MO/NuminaMath-CoT', verified=True,
                 tags=('grpo', 'math')),
    DatasetEntry('AI-MO/NuminaMath-TIR', 'AI-MO/NuminaMath-TIR', 'AI-MO/NuminaMath-TIR', verified=True,
                 tags=('grpo', 'math', '🔥')),
    DatasetEntry('AI-MO/NuminaMath-1.5', 'AI-MO/NuminaMath-1.5', 'AI-MO/NuminaMath-1.5',
                 columns={'solution': 'response'}, verified=True, tags=('grpo', 'math')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
