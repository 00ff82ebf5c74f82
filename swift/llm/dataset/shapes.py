"""Rows of published data sets whose columns do not speak for themselves -> rows in one of the accepted formats.

Each function takes one raw row and returns one, or several where it is an expansion; a ``KeyError`` means that the row
lacks a column that its data set has. The wording of prompts is that of SWIFT: models are compared on it. Knows JSON
values only; standard library only, so that the catalog stays light. Media stay as the rows name them: archives of
images or videos that a repository keeps beside its rows are not unpacked.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

Row = dict[str, Any]


def filled(row: Row, *, query: str, response: str, keep: Mapping[str, str] | None = None) -> Row:
    """Query and answer put together from columns: ``{name}`` in a pattern stands for the column ``name``.

    Args:
        keep: further columns, new name -> old one; those that the row lacks are left out.
    """
    kept = {new: row[old] for new, old in (keep or {}).items() if row.get(old) is not None}
    return {'query': query.format_map(row), 'response': response.format_map(row), **kept}


def classified(row: Row, *, task: str, labels: tuple[str, ...], columns: tuple[str, ...] = ('sentence',),
               to_text: bool = True) -> Row:
    """A classification row as a question with the label's name for an answer, or, for a classifier, with its number.

    Args:
        columns: of one sentence, or of a pair.
        to_text: False leaves out task and answer: the model has a head that tells the class.
    """
    names = ('Sentence',) if len(columns) == 1 else tuple(f'Sentence{i}' for i in range(1, len(columns) + 1))
    sentences = '\n'.join(f'{name}: {row[column]}' for name, column in zip(names, columns, strict=True))
    if not to_text:
        return {'messages': [{'role': 'user', 'content': row[columns[0]] if len(columns) == 1 else sentences}],
                'label': int(row['label'])}
    label = row['label']
    if label is None or int(label) not in range(len(labels)):
        raise KeyError('label')
    return {'query': f'Task: {task}\n{sentences}\nCategory: {", ".join(labels)}\nOutput:',
            'response': labels[int(label)]}


def captioned(row: Row, *, query: str, image: str, response: str) -> Row:
    """An image and a text about it."""
    text = row[response]
    text = text[0] if isinstance(text, list) else text
    return {'query': query, 'response': text.partition('&&')[0], 'images': [row[image]]}  # coco_2014_caption joins so


def caption_matched(row: Row, *, image: str, caption: str) -> Row:
    """An image and the captions that belong to it, to be embedded or ranked."""
    return {'messages': [{'role': 'user', 'content': '<image>'}], 'images': [row[image]],
            'positive_messages': [[{'role': 'user', 'content': text}] for text in row[caption]]}


def first_of(row: Row, *, column: str) -> Row:
    """Where an answer is a list of equally good ones, the first."""
    value = row[column]
    return {**row, column: value[0] if isinstance(value, list) else value}


def commonest(row: Row, *, column: str, target: str = 'response') -> Row:
    """Where several people answered, what most of them said; of equals the first."""
    answers = [answer['answer'] if isinstance(answer, dict) else answer for answer in row[column]]
    kept = {key: value for key, value in row.items() if key != column}
    return {**kept, target: Counter(answers).most_common(1)[0][0]}


def questioned(row: Row, *, column: str, inner: str = '', question: str = 'question', answer: str = 'answer') -> Row:
    """A list of questions and answers about one image as a conversation; ``inner`` is a key around the list."""
    pairs = row[column][0][inner] if inner else row[column]
    messages = [turn for pair in pairs for turn in ({'role': 'user', 'content': pair[question]},
                                                    {'role': 'assistant', 'content': pair[answer]})]
    return {'messages': messages, **({'images': [row['image']]} if row.get('image') else {})}


def zipped(row: Row, *, questions: str, answers: str) -> Row:
    """The same where questions and answers are two lists."""
    pairs = [{'question': q, 'answer': a} for q, a in zip(row[questions], row[answers], strict=False)]
    return questioned({'pairs': pairs, 'image': row.get('image')}, column='pairs')


def spoken(text: str) -> list[Row]:
    """Anthropic's transcript, ``\\n\\nHuman: ...\\n\\nAssistant: ...``, as messages."""
    pieces = re.split(r'(?:^|\n\n)(Human|Hum|Assistant): ?', text.strip())  # some rows shorten the name
    roles = {'Human': 'user', 'Hum': 'user', 'Assistant': 'assistant'}
    return [{'role': roles[name], 'content': said.strip()}
            for name, said in zip(pieces[1::2], pieces[2::2], strict=True)]


def hh_rlhf(row: Row) -> Row:
    """Two transcripts, most of which part at the last answer."""
    return {'messages': spoken(row['chosen']), 'rejected_messages': spoken(row['rejected'])}


def hh_rlhf_cn(row: Row) -> Row:
    """The same as lists: context and two last turns, each ``{"role", "text"}``."""
    turns = [*row['context'], row['chosen']]
    return {'messages': [{'role': turn['role'], 'content': turn['text']} for turn in turns],
            'rejected_response': row['rejected']['text']}


def ruozhiba(row: Row) -> Row:
    """A joke as text to go on with: its title and, where that says more, its body; numbers in front are cut off."""
    text = row.get('title') or row['content']
    if (body := row.get('abs')) and body != text:
        text = f'{text}，{body}'
    numbered = re.search(r'\d+[.,\s、](.+)', text)
    return {'response': numbered.group(1) if numbered else text}


def leetcode(row: Row) -> Row:
    """The problem stands before the code in one column; the answer is the code and what explains it."""
    problem, fence, code = row['code_with_problem'].partition('```python')
    return {'query': problem.strip().removeprefix('# '),
            'response': f'{(fence + code).strip()}\n\n{row["explanation_only"]}'}


def law_text(row: Row) -> Row:
    """A paragraph of a law under its headings, for pre-training."""
    chapters = ''.join(row.get(f'chapter{i}') or '' for i in (1, 2, 3))
    return {'response': f'{row["type"]}\n{row["title"]}\n{chapters}{row["content"]}'}


def text_pair(row: Row) -> Row:
    """DuReader's question generation: context and answer in one column, the question in another."""
    context, _, answer = row['text1'].partition('[SEP]')
    return {'query': f'Task: Question Generation\nContext: {context.strip()}\nAnswer: {answer.strip()}\nQuestion:',
            'response': row['text2']}


def guanaco(row: Row) -> Row:
    """Earlier turns stand as ``User:`` and ``Assistant:`` in the instruction, the question in the input."""
    pieces = re.split(r'(?:^|\n)\s*(User|Assistant)\s*[:：]\s*', row['instruction'])
    turns = [(name, said.strip()) for name, said in zip(pieces[1::2], pieces[2::2], strict=True)]
    question = re.sub(r'^\s*User\s*[:：]\s*', '', row.get('input') or '').strip()
    if not turns:
        return {'instruction': row['instruction'], 'input': question, 'output': row['output']}
    if not question and turns[-1][0] == 'User':
        question = turns.pop()[1]
    roles = {'User': 'user', 'Assistant': 'assistant'}
    messages = [{'role': roles[name], 'content': said} for name, said in turns]
    if before := pieces[0].strip():
        messages.insert(0, {'role': 'system', 'content': before})
    return {'messages': [*messages, {'role': 'user', 'content': question},
                         {'role': 'assistant', 'content': row['output']}]}


def function_calls(row: Row) -> Row:
    """xLAM's rows: a question, tools, and the calls that are the answer, the last two as JSON text."""
    calls = json.loads(row['answers']) if isinstance(row['answers'], str) else row['answers']
    return {'tools': row['tools'], 'messages': [{'role': 'user', 'content': row['query']},
                                                {'role': 'tool_call', 'content': calls}]}


def function_calls_to_check(row: Row) -> Row:
    """The same for reinforcement learning: the calls are what an answer is compared with."""
    return {'tools': row['tools'], 'messages': [{'role': 'user', 'content': row['query']}],
            'solution': row['answers']}


_HC3 = 'Classification Task: Are the following responses from a human or from ChatGPT?\n' \
       'Question: {question}\nAnswer: {answer}\nCategory: Human, ChatGPT\nOutput:'


def human_or_chatgpt(row: Row, *, to_text: bool = True) -> Iterator[Row]:
    """Every answer of a row of HC3, to be told apart."""
    for label, (name, column) in enumerate((('Human', 'human_answers'), ('ChatGPT', 'chatgpt_answers'))):
        for answer in row[column]:
            query = _HC3.format(question=row['question'], answer=answer)
            if to_text:
                yield {'query': query, 'response': name}
            else:
                yield {'messages': [{'role': 'user', 'content': query}], 'label': label}


def with_thoughts(row: Row, *, query: str, thoughts: str, response: str) -> Row:
    """An answer and the thinking before it, which stands between ``<think>`` tags in the text."""
    return {'query': row[query], 'response': f'<think>\n\n{row[thoughts].strip()}\n</think>\n\n{row[response]}'}


def without_thoughts(row: Row, *, suffix: str = '') -> Row:
    """An answer after no thinking, as hybrid thinking models write it; ``suffix`` is what asks for that."""
    return {**row, 'query': row['query'] + suffix, 'response': f'<think>\n\n</think>\n\n{row["response"]}'}


def similar(row: Row, *, how: str) -> Row:
    """Two sentences and how alike they are, 0 to 1: to embed, to answer in words (0 to 5) or to tell as a number."""
    first, second, score = row['sentence1'], row['sentence2'], row['score']
    if how == 'embed':
        return {'messages': [{'role': 'user', 'content': first}],
                'positive_messages': [[{'role': 'user', 'content': second}]], 'label': score}
    query = ('Task: Based on the given two sentences, provide a similarity score between 0.0 and 1.0.\n'
             f'Sentence 1: {first}\nSentence 2: {second}\nSimilarity score: ')
    if how == 'tell':
        return {'query': query, 'response': f'{score:.1f}'}
    return {'messages': [{'role': 'user', 'content': query}], 'label': score}


def ranked(row: Row) -> Row:
    """A query with texts that answer it and texts that don't."""
    def chats(texts: list[str]) -> list[list[Row]]:
        return [[{'role': 'assistant', 'content': text}] for text in texts]

    return {'messages': [{'role': 'user', 'content': row['query']}], 'positive_messages': chats(row['positive']),
            'negative_messages': chats(row['negative'])}


def science_qa(row: Row) -> Row:
    """A question; the answer is the way to the right one of its choices, and that one."""
    return {'query': row['question'],
            'response': f'{row["solution"]}\nSo the final answer is: {row["choices"][row["answer"]]}',
            **({'images': [row['image']]} if row.get('image') else {})}


def heard(row: Row) -> Row:
    """AISHELL: the characters of a transcript are apart."""
    audio = row['audios'] if 'audios' in row else row['Audio:FILE']
    return {'query': '语音转文本', 'response': row['Text:LABEL'].replace(' ', ''),
            'audios': audio if isinstance(audio, list) else [audio]}


def sql_of_question(row: Row) -> Row:
    """gretelai/synthetic_text_to_sql: tables and question in; explanation and SQL out."""
    return {'query': f'Sql Table information:\n{row["sql_context"]}\n{row["sql_prompt"]}',
            'response': f'Let\'s think step by step:\n{row["sql_explanation"]}\nSo the final sql is:\n{row["sql"]}'}


def countdown(row: Row) -> Row:
    """Numbers to be combined so that they give another one; what counts is checked, there is no answer to train."""
    numbers, target = list(row['nums']), row['target']
    query = (f'Using the numbers {numbers}, create an equation that equals {target}.\n'
             'You can use basic arithmetic operations (+, -, *, /) and each number can only be used once.\n'
             'Show your work in <think> </think> tags. And return the final equation and answer in <answer> </answer> '
             'tags, for example <answer> (1 + 2) / 3 * 4 = 4 </answer>.')
    return {'messages': [{'role': 'user', 'content': query}], 'solution': json.dumps([numbers, target])}


def labelled_image(row: Row, *, query: str) -> Row:
    """An image and its class, for a classifier."""
    return {'messages': [{'role': 'user', 'content': query}], 'label': row['label'], 'images': row['images']}


def without_prefix(row: Row, *, column: str, prefix: str) -> Row:
    """What stands before every value of a column is cut off."""
    return {**row, column: (row.get(column) or '').removeprefix(prefix).strip()}


def with_solution(row: Row, *, column: str) -> Row:
    """The answer is also what other answers are compared with."""
    return {**{key: value for key, value in row.items() if key != column}, 'response': row[column],
            'solution': row[column]}


def mended(row: Row, *, column: str) -> Row:
    """A list of turns whose text has lost the commas between them."""
    value = row[column]
    return {**row, column: re.sub(r'\}\s*\{', '}, {', value) if isinstance(value, str) else value}


def dolly(row: Row) -> Row:
    """An instruction after the text that it is about, if there is one."""
    context = f'Here gives some useful information:\n{row["context"]}\n' if row.get('context') else ''
    return {'query': context + row['instruction'], 'response': row['response']}


def alpha_umi(row: Row) -> Row:
    """One step of an agent made of several models: a prompt, and what the planner, caller or summarizer says."""
    prompt, answer = _turns(row)
    return {'query': prompt['value'], 'response': answer['value']}


def several_plugins(row: Row) -> Iterator[Row]:
    """Only rows of MSAgent-Bench whose system text offers more than one plug-in."""
    first = _turns(row)[0]
    if first['from'] == 'system' and len(set(re.findall(r'\d\. \{"plugin_name": "(.+?)"', first['value']))) > 1:
        yield row


_OTHER_MODELS = re.compile('moss|human:|assistant:|user:', re.IGNORECASE)


def of_no_other_model(row: Row) -> Iterator[Row]:
    """Rows of ms-bench that neither name another model nor hold a transcript; a system text that says nothing goes."""
    turns = _turns(row)
    if turns and turns[0] == {'from': 'system', 'value': 'You are a helpful assistant.'}:
        turns = turns[1:]
    if not any(_OTHER_MODELS.search(turn['value']) for turn in turns):
        yield {**row, 'conversations': turns}


def _turns(row: Row) -> list[Row]:
    turns = row['conversations']
    return ast.literal_eval(turns) if isinstance(turns, str) else turns


def other_than(row: Row, *, column: str, value: str) -> Iterator[Row]:
    """Rows of all but one of the sources that a data set is mixed from."""
    if row.get(column) != value:
        yield row


def alike(row: Row, *, least: float) -> Iterator[Row]:
    """Pairs of sentences that mean nearly the same."""
    if row['score'] >= least:
        yield row


def pixelprose(row: Row) -> Row:
    """A caption that a vision model wrote, without its opening words."""
    return {'query': 'Give the description of this image.', 'images': [row['url']],
            'response': row['vlm_caption'].strip().removeprefix('This image displays:').strip()}


def described(row: Row, *, image: str, column: str) -> Row:
    """SA-1B's Chinese captions; the dense ones are an object in text whose ``global_caption`` is the whole."""
    text = row[column]
    caption = ast.literal_eval(text)['global_caption'] if text.lstrip().startswith('{') else text
    return {'query': '图片中展示了什么', 'response': caption, 'images': [row[image]]}


def video_choice(row: Row, *, to_text: bool = True) -> Row:
    """EgoSchema: a question about a video with five options; the answer is the option's letter, or its number."""
    query = '\n'.join([row['question'], *row['option']])
    video = {'videos': [f'{row["video_idx"]}.mp4']}
    if to_text:
        return {'query': query, 'response': 'ABCDE'[int(row['answer'])], **video}
    return {'messages': [{'role': 'user', 'content': query}], 'label': int(row['answer']), **video}


def video_question(row: Row) -> Row:
    """VideoChatGPT: one of three columns has the question; those that have none say 'None'."""
    questions = [row.get(name) for name in ('question', 'question_1', 'question_2')]
    asked = [question for question in questions if question and question != 'None']
    if not asked:
        raise KeyError('question')
    return {'query': asked[0], 'response': row['answer'], 'videos': [f'{row["video_name"]}.mp4']}


def movie_question(row: Row) -> Row:
    """MovieChat: the first of the questions about the whole film."""
    first = row['global'][0]
    return {'query': first['question'], 'response': first['answer'], 'videos': [row['info']['video_path']]}


def gqa(row: Row) -> Row:
    """GQA's balanced questions; the images are named by their number."""
    return {'query': row['question'], 'response': row['fullAnswer'], 'images': [f'{row["imageId"]}.jpg']}


def counted(row: Row) -> Row:
    """CLEVR's counting questions, with how to answer."""
    return {**row, 'problem': f'{row["problem"]} Output the thinking process in <think> </think> and final answer '
                              '(number) in <answer> </answer> tags.'}
