"""The argument groups: every flag with its default, help, unit and range, told once.

A group is plain data. It loads nothing and does not know which commands use it; rules across groups are in
``rules.py``, defaults that depend on other flags (None here) in ``derive.py``. Names are the newest vocabulary of
SWIFT, defaults those of SWIFT 2.6 (``docs/defaults.md`` lists the exceptions).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from swift.llm.args.fields import Group, opt
from swift.llm.args.tuner_types import TunerType

_INIT_WEIGHTS = re.compile(
    r'true|false|gaussian|orthogonal|mica|pissa|pissa_niter_[1-9]\d*|olora|eva|corda|lora-ga|loftq|bat')


@dataclass(frozen=True)
class ModelArgs(Group):
    """Which model, and how it is loaded."""

    model: str | None = opt(None, 'A hub id (Qwen/Qwen2-0.5B-Instruct), a local folder, or a registered name.')
    model_type: str | None = opt(
        None, 'A registered name. Alone it is enough when it names one checkpoint; beside --model it says which family '
        'the model belongs to.')
    model_revision: str | None = opt(None, 'Branch, tag or commit on the hub; default: the main branch.')
    torch_dtype: Literal['auto', 'bfloat16', 'float16', 'float32'] = opt(
        'auto', 'Type of the weights. auto: what the device supports best (float32 on a CPU).')
    attn_impl: Literal['auto', 'sdpa', 'eager', 'flex_attention', 'flash_attention_2', 'flash_attention_3'] = opt(
        'auto', 'Attention implementation. auto: the fastest one that the device has; rows that share a line in '
        'training then attend each for itself. sdpa and eager: those of transformers, with a mask of the whole line.')
    device_map: str | None = opt(
        None, 'Where layers go: auto, cpu, cuda:0, a JSON map, or the path of a JSON file. Default: one device a '
        'process; several visible GPUs in one process share the layers.')
    max_memory: list[str] = opt([], 'At most this much memory a device, for --device_map auto: 20GiB 20GiB, or one '
                                    'JSON map.')
    rope_scaling: Literal['linear', 'dynamic'] | None = opt(
        None, 'Stretch rotary positions so that --max_length fits.')
    new_special_tokens: list[str] = opt([], 'Words that become tokens of their own, or .txt files with one a line. '
                                            'Their vectors are trained and saved with the adapter.')
    init_strategy: Literal['pieces', 'average', 'zero', 'uniform', 'normal', 'xavier_uniform', 'xavier_normal',
                           'kaiming_uniform', 'kaiming_normal', 'orthogonal'] = opt(
        'pieces', 'Start of the vectors of new tokens: mean of what the word was written with (pieces), mean of all '
        '(average), zero, or random.')
    trust_remote_code: bool = opt(False, 'Run Python code that comes with the checkpoint. Only for sources you trust.')
    use_hf: bool | None = opt(None, 'Download from Hugging Face instead of ModelScope; default: USE_HF.')
    hub_token: str | None = opt(None, 'Access token of the hub; default: MODELSCOPE_API_TOKEN or HF_TOKEN.')
    offline: bool = opt(False, 'Never open a network connection; models and data must be local or already cached.')


@dataclass(frozen=True)
class TemplateArgs(Group):
    """How a conversation becomes tokens and which tokens are trained."""

    template: str = opt('auto', 'Name of a chat template. auto: the one that belongs to the model, else the '
                                "checkpoint's own.")
    system: str | None = opt(None, "System prompt for rows without one; '' removes the template's default.")
    max_length: int = opt(2048, 'Longest row; -1 is no limit.', unit='tokens', at_least=-1)
    truncation_strategy: Literal['delete', 'left', 'right'] = opt(
        'delete', 'Rows over --max_length: delete them (counted in rejected.jsonl), or cut them at the left or right.')
    loss_scale: str = opt(
        'default', 'What is trained: every assistant turn (default), the last one (last_round) or all tokens (all); '
        'then weights of words, joined with +: default+ignore_empty_think, react, hermes, ..., or a JSON file.')
    thinking: Literal['keep', 'strip_history', 'add_empty', 'none'] | None = opt(
        None, 'What is written of the thinking: all of it (keep), that of the last round (strip_history), an empty '
        'block where there is none (add_empty), nothing (none). Default: as the publisher of the model does.')
    enable_thinking: bool | None = opt(None, 'The switch of this name of a chat template: whether prompts ask the '
                                             'model to think.')
    template_kwargs: str | None = opt(None, 'JSON object of further switches of the chat template: '
                                            '{"reasoning_effort": "low"}.')
    agent_template: str | None = opt(None, 'How tools, calls and results are written: react_en, hermes, ... '
                                           'Default: as the template says.')
    allow_template_drift: bool = opt(
        False, "Go on when an automatically chosen template renders other text than the checkpoint's own.")
    padding_free: bool | None = opt(
        None, 'Put the rows of a step end to end instead of padding them; same gradients, less work. Default: where '
        'the device supports it.')

    def further_problems(self) -> list[str]:
        problems = ['--max_length must be -1 (no limit) or at least 1, got 0.'] if self.max_length == 0 else []
        try:
            self.options()
        except ValueError as e:
            problems.append(f'--template_kwargs takes a JSON object, got {self.template_kwargs!r} ({e}).')
        return problems

    def options(self) -> dict[str, Any]:
        """The switches of the chat template.

        Raises:
            ValueError: ``template_kwargs`` is no JSON object.
        """
        options = json.loads(self.template_kwargs) if self.template_kwargs else {}
        if not isinstance(options, dict):
            raise ValueError('no object')
        if self.enable_thinking is not None:
            options['enable_thinking'] = self.enable_thinking
        return options


@dataclass(frozen=True)
class DataArgs(Group):
    """Which rows, and how they are read, split and mixed."""

    dataset: list[str] = opt([], 'Training data: registered names, hub ids (HF::id, MS::id, id:subset), files or '
                                 'folders; PATH#500 takes 500 rows.')
    val_dataset: list[str] = opt([], 'Validation data, written like --dataset. When given, nothing is split off '
                                     '--dataset.')
    split_dataset_ratio: float = opt(0.01, 'Fraction of each data set held out for validation.', at_least=0, below=1)
    data_seed: int | None = opt(None, 'Seed of sampling, splitting and shuffling; default: --seed.', at_least=0)
    dataset_num_proc: int | None = opt(None, 'Processes that prepare data; default: one a core.', unit='processes',
                                       at_least=1)
    streaming: bool = opt(False, 'Read rows as they are needed instead of preparing all; needs --max_steps.')
    streaming_val_size: int = opt(0, 'Rows from the head of a stream kept for validation.', unit='rows', at_least=0)
    shuffle_buffer_size: int = opt(16384, 'Rows in the shuffle buffer of a stream.', unit='rows', at_least=1)
    interleave_prob: list[float] = opt([], 'Draw rows from the data sets with these probabilities instead of putting '
                                           'them one after another.', at_least=0, at_most=1)
    stopping_strategy: Literal['first_exhausted', 'all_exhausted'] = opt(
        'first_exhausted', 'When interleaving ends: with the first or with the last data set that runs out.')
    train_dataset_mix_ratio: float = opt(0.0, 'Rows of general data mixed in for every row of --dataset that is '
                                              'trained, so that what a model could do stays.', at_least=0)
    train_dataset_mix_ds: list[str] = opt(['ms-bench'], 'Where those rows are drawn from, written like --dataset.')
    columns: str | None = opt(None, 'JSON map of column names: {"question": "query", "answer": "response"}.')
    max_rejected_ratio: float = opt(0.05, 'Stop when more than this fraction of rows can not be used.',
                                    at_least=0, at_most=1)
    model_name: list[str] = opt([], "The model's name in Chinese and in English, for the data set self-cognition.")
    model_author: list[str] = opt([], "The author's name in Chinese and in English, for the data set self-cognition.")
    custom_dataset_info: str | None = opt(None, 'More data sets: the path of a JSON file, or JSON text.')
    external_plugins: list[str] = opt([], 'Python files of yours that register models, templates or data sets. They '
                                          'are run.')
    lazy_tokenize: bool | None = opt(None, 'Taken for scripts that set it: either way rows are tokenised once into a '
                                           'cache on disk and read from there when they are used.')

    def further_problems(self) -> list[str]:
        problems = [f'--{name} takes one name, or two: Chinese and English. Got {len(value)}: {" | ".join(value)}. '
                    'Quote a name that has spaces.'
                    for name, value in (('model_name', self.model_name), ('model_author', self.model_author))
                    if len(value) > 2]
        if self.interleave_prob and abs(sum(self.interleave_prob) - 1) > 1e-3:
            problems.append(f'--interleave_prob must sum to 1, got {sum(self.interleave_prob):g}.')
        return problems


@dataclass(frozen=True)
class QuantArgs(Group):
    """Weights of fewer bits under an adapter (QLoRA), made while the model is loaded."""

    quant_method: Literal['bnb', 'hqq'] | None = opt(
        None, 'Who quantises: bitsandbytes or HQQ. Default with --quant_bits: bnb for 4 and 8, else hqq. A checkpoint '
        'that is quantised already (GPTQ, AWQ, bitsandbytes) is just named as --model.')
    quant_bits: int | None = opt(
        None, 'Bits of a weight: 4 or 8 with bnb; 8, 4, 3, 2 or 1 with hqq. Default, and 0: weights as they are.',
        unit='bits', at_least=0, at_most=8)
    bnb_4bit_compute_dtype: Literal['auto', 'float16', 'bfloat16', 'float32'] = opt(
        'auto', 'Type that 4-bit weights are multiplied in. auto: that of the model.')
    bnb_4bit_quant_type: Literal['nf4', 'fp4'] = opt('nf4', 'The 16 values of 4-bit weights.')
    bnb_4bit_use_double_quant: bool = opt(True, 'Quantise the scales of 4-bit weights too.')
    bnb_4bit_quant_storage: Literal['uint8', 'float16', 'bfloat16', 'float32'] | None = opt(
        None, 'Type of the tensors that 4-bit weights are packed in. Default: uint8.')
    hqq_axis: int = opt(1, 'Groups of HQQ lie along inputs (1) or outputs (0).', at_least=0, at_most=1)

    @property
    def method(self) -> str | None:
        """Who quantises, or None when nobody does."""
        if not self.quant_bits:
            return None
        return self.quant_method or ('bnb' if self.quant_bits in (4, 8) else 'hqq')

    def further_problems(self) -> list[str]:
        allowed = {'bnb': (4, 8), 'hqq': (8, 4, 3, 2, 1)}
        if self.method is None or self.quant_bits in allowed[self.method]:
            return []
        return [f'--quant_bits with --quant_method {self.method} takes '
                f'{", ".join(map(str, allowed[self.method]))}; got {self.quant_bits}.']


@dataclass(frozen=True)
class TunerArgs(Group):
    """Which weights are trained."""

    tuner_type: TunerType = opt('lora', 'full trains the weights themselves; all others train an adapter, lora the '
                                        'best known one. docs/tuners.md says what each is for.')
    target_modules: list[str] = opt(
        ['DEFAULT'], 'Modules that get an adapter: DEFAULT (those of the family), ALL (every linear layer but the '
        'head; all-linear is the same), EMBEDDING, LN (every normalisation), or names; that of a part (self_attn, '
        'model.visual) means its linear layers.')
    target_regex: str | None = opt(None, 'Regular expression over module names; replaces --target_modules.')
    exclude_modules: list[str] = opt([], 'Modules that get no adapter though chosen above: names, their ends, or parts '
                                         'of the model with all below them.')
    layers_to_transform: list[int] = opt([], 'Only these blocks of the model get adapters, counted from 0; default: '
                                             'all.', unit='blocks', at_least=0)
    target_parameters: list[str] = opt([], 'LoRA: parameters that get an adapter though they are no modules: EXPERTS '
                                           '(the weights of all experts) or names like mlp.experts.down_proj.')
    modules_to_save: list[str] = opt([], 'More modules trained and saved whole beside the adapter; EMBEDDING and LN '
                                         'are short for embeddings and norms.')
    lora_rank: int = opt(8, 'Rank of the adapter matrices.', at_least=1)
    lora_alpha: int = opt(32, 'The adapter is scaled by alpha / rank.', at_least=1)
    lora_dropout: float = opt(0.05, "Dropout before the adapter.", at_least=0, below=1)
    lora_rank_pattern: str | None = opt(None, 'JSON map of other ranks: {"q_proj": 16, "layers.0..*": 4}. A key is a '
                                              'regular expression for the end of a module name; the first counts.')
    lora_alpha_pattern: str | None = opt(None, 'JSON map of other alphas, written like --lora_rank_pattern.')
    lora_bias: Literal['none', 'all', 'lora_only'] = opt(
        'none', 'Which biases are trained too: all, or those of modules with an adapter (lora_only).')
    lora_dtype: Literal['auto', 'bfloat16', 'float16', 'float32'] = opt(
        'auto', 'Type of the adapter weights. auto: float32 under a half-precision model.')
    lorap_lr_ratio: float | None = opt(None, 'LoRA+: learning rate of the B matrices over that of A; 10 to 16 is '
                                             'usual.', above=0)
    lorap_emb_lr: float = opt(1e-6, 'LoRA+: learning rate of adapters on embeddings.', above=0)
    use_rslora: bool = opt(False, 'Scale by alpha / sqrt(rank) (rsLoRA).')
    use_dora: bool = opt(False, 'Train magnitude and direction apart (DoRA).')
    init_weights: str = opt('true', 'Start of the adapter: true, false, gaussian, orthogonal, mica, pissa, '
                                    'pissa_niter_N, olora, with --quant_bits loftq, or from training rows: eva, corda, '
                                    'lora-ga; for miss true or bat. docs/lora.md')
    freeze_llm: bool = opt(False, 'Models that read more than text: train nothing of the language model.')
    freeze_vit: bool = opt(True, 'Train nothing of the towers for images, video and sound; false puts adapters on '
                                 'them, or trains them in full training.')
    freeze_aligner: bool = opt(True, 'The same for what is between a tower and the language model.')
    freeze_parameters: list[str] = opt([], 'Full training: parameters whose names start so stay fixed.')
    freeze_parameters_ratio: float = opt(0.0, 'Full training: fraction of the parameters fixed, from the input up.',
                                         at_least=0, at_most=1)
    trainable_parameters: list[str] = opt([], 'Full training: parameters whose names start so are trained though '
                                              'frozen above.')
    freeze_parameters_regex: str | None = opt(None, 'Full training: parameters in whose names this regular expression '
                                                    'is found stay fixed.')
    trainable_parameters_regex: str | None = opt(None, 'Full training: those are trained though frozen above.')
    tuner_backend: Literal['peft', 'unsloth'] = opt(
        'peft', 'Who loads the model and implements the adapter; unsloth is for lora and full, on a GPU.')

    def further_problems(self) -> list[str]:
        problems = [] if _INIT_WEIGHTS.fullmatch(self.init_weights) else [
            '--init_weights takes true, false, gaussian, orthogonal, mica, pissa, pissa_niter_N, olora, eva, corda, '
            f'lora-ga, loftq or bat; got {self.init_weights!r}.']
        return problems + [problem for name, above in (('lora_rank_pattern', int), ('lora_alpha_pattern', (int, float)))
                           if (problem := _pattern_problem(name, self.__dict__[name], above))]


def _pattern_problem(name: str, text: str | None, numbers: type | tuple[type, ...]) -> str | None:
    """A problem with a JSON map from names to numbers above 0."""
    try:
        value = json.loads(text or '{}')
    except ValueError as e:
        return f'--{name} is not JSON ({e}): {text}'
    if not isinstance(value, dict):
        return f'--{name} takes a JSON map from names to numbers, got {text}'
    bad = [key for key, number in value.items() if isinstance(number, bool) or not isinstance(number, numbers)
           or number <= 0]
    return f'--{name}: {bad[0]!r} needs a number above 0, got {value[bad[0]]!r}.' if bad else None


@dataclass(frozen=True)
class MethodArgs(Group):
    """Settings of single tuning methods and starts; each begins with the name of its method."""

    lora_ga_batch_size: int = opt(2, 'LoRA-GA: rows in a batch whose gradient is taken.', unit='rows', at_least=1)
    lora_ga_iters: int = opt(2, 'LoRA-GA: such batches.', unit='batches', at_least=1)
    lora_ga_max_length: int = opt(1024, 'LoRA-GA: longer rows are cut.', unit='tokens', at_least=2)
    lora_ga_direction: Literal['ArBr', 'A2rBr', 'ArB2r', 'random'] = opt(
        'ArB2r', 'LoRA-GA: which singular vectors of the gradient go to A and which to B.')
    lora_ga_scale: Literal['stable', 'weight_svd', 'gd_scale', 'unit'] = opt(
        'stable', 'LoRA-GA: how A and B are scaled at the start.')
    lora_ga_stable_gamma: int = opt(16, 'LoRA-GA: gamma of the stable scale; larger starts smaller.', at_least=1)
    eva_rows: int = opt(128, 'EVA: training rows that it looks at, again and again until it settles.', unit='rows',
                        at_least=1)
    eva_batch_size: int = opt(8, 'EVA: rows at once.', unit='rows', at_least=1)
    eva_rho: float = opt(2.0, 'EVA: ranks go up to rho times --lora_rank, their sum stays; 1 keeps them equal.',
                         at_least=1)
    corda_rows: int = opt(256, 'CorDA: training rows that it looks at.', unit='rows', at_least=1)
    corda_method: Literal['ipm', 'kpm'] = opt(
        'ipm', 'CorDA: adapt what the rows use most (ipm) or least (kpm, which keeps the knowledge in them).')

    adalora_target_r: int = opt(8, 'AdaLoRA: average rank of a layer at the end.', at_least=1)
    adalora_init_r: int = opt(12, 'AdaLoRA: rank of every layer at the start.', at_least=1)
    adalora_tinit: int = opt(0, 'AdaLoRA: no rank is pruned in the first ones.', unit='steps', at_least=0)
    adalora_tfinal: int = opt(0, 'AdaLoRA: the ranks stay in the last ones.', unit='steps', at_least=0)
    adalora_deltaT: int = opt(1, 'AdaLoRA: from one pruning to the next.', unit='steps', at_least=1)
    adalora_beta1: float = opt(0.85, 'AdaLoRA: smoothing of the importance.', above=0, below=1)
    adalora_beta2: float = opt(0.85, 'AdaLoRA: smoothing of its uncertainty.', above=0, below=1)
    adalora_orth_reg_weight: float = opt(0.5, 'AdaLoRA: weight of the orthogonality in the loss.', at_least=0)
    ia3_feedforward_modules: list[str] = opt([], 'IA3: target modules whose inputs are scaled, not their outputs.')
    loha_rank: int = opt(8, 'LoHa: rank of the matrices.', at_least=1)
    loha_alpha: int = opt(8, 'LoHa: the adapter is scaled by alpha / rank.', at_least=1)
    loha_rank_dropout: float = opt(0.0, 'LoHa: probability that a rank is left out.', at_least=0, below=1)
    loha_module_dropout: float = opt(0.0, 'LoHa: probability that a layer goes without.', at_least=0, below=1)
    lokr_rank: int = opt(8, 'LoKr: rank of the matrices.', at_least=1)
    lokr_alpha: int = opt(8, 'LoKr: the adapter is scaled by alpha / rank.', at_least=1)
    lokr_rank_dropout: float = opt(0.0, 'LoKr: probability that a rank is left out.', at_least=0, below=1)
    lokr_module_dropout: float = opt(0.0, 'LoKr: probability that a layer goes without.', at_least=0, below=1)
    lokr_decompose_both: bool = opt(False, 'LoKr: both factors are products.')
    lokr_decompose_factor: int = opt(
        -1, 'LoKr: first size of the two that a size is cut into; -1: near its root.', at_least=-1)
    oft_block_size: int = opt(32, 'OFT: size of a block; divides the inputs of a layer.', at_least=1)
    oft_dropout: float = opt(0.0, 'OFT: probability that a block stays fixed.', at_least=0, below=1)
    oft_coft: bool = opt(False, 'OFT: stay within oft_eps of the identity.')
    oft_eps: float = opt(6e-5, 'OFT: how far, with oft_coft.', above=0)
    oft_block_share: bool = opt(False, 'OFT: one block for all of a layer.')
    boft_block_size: int = opt(4, 'BOFT: size of a block; 0 where boft_block_num is given.', at_least=0)
    boft_block_num: int = opt(0, 'BOFT: blocks a layer; 0 where boft_block_size is given.', at_least=0)
    boft_n_butterfly_factor: int = opt(1, 'BOFT: factors of the rotation.', at_least=1)
    boft_dropout: float = opt(0.0, 'BOFT: probability that a block stays fixed.', at_least=0, below=1)
    hra_rank: int = opt(8, 'HRA: reflections a layer, an even number.', at_least=1)
    hra_gram_schmidt: bool = opt(False, 'HRA: make the reflections orthogonal.')
    vera_rank: int = opt(256, 'VeRA: rank of the shared matrices.', at_least=1)
    vera_projection_prng_key: int = opt(0, 'VeRA: seed of the shared matrices.', at_least=0)
    vera_dropout: float = opt(0.0, 'VeRA: dropout before the adapter.', at_least=0, below=1)
    vera_d_initial: float = opt(0.1, 'VeRA: start of the vector d.')
    randlora_rank: int = opt(32, 'RandLoRA: rank of one basis; smaller trains more.', at_least=1)
    randlora_alpha: int = opt(640, 'RandLoRA: the adapter is scaled by alpha / rank.', at_least=1)
    randlora_dropout: float = opt(0.0, 'RandLoRA: dropout before the adapter.', at_least=0, below=1)
    randlora_projection_prng_key: int = opt(0, 'RandLoRA: seed of the bases.', at_least=0)
    randlora_sparse: bool = opt(False, 'RandLoRA: bases of -1, 0 and 1.')
    vblora_rank: int = opt(4, 'VB-LoRA: rank of the matrices.', at_least=1)
    vblora_num_vectors: int = opt(256, 'VB-LoRA: vectors in the bank.', at_least=1)
    vblora_vector_length: int = opt(256, 'VB-LoRA: length of one; divides inputs and outputs of a layer.', at_least=1)
    vblora_topk: int = opt(2, 'VB-LoRA: vectors in a mixture.', at_least=1)
    vblora_dropout: float = opt(0.0, 'VB-LoRA: dropout before the adapter.', at_least=0, below=1)
    fourier_n_frequency: int = opt(2000, 'FourierFT: coefficients a layer.', at_least=1)
    fourier_scaling: float = opt(300.0, 'FourierFT: scale of the difference.', above=0)
    waveft_n_frequency: int = opt(2592, 'WaveFT: coefficients a layer.', at_least=1)
    waveft_scaling: float = opt(25.0, 'WaveFT: scale of the difference.', above=0)
    c3a_block_size: int = opt(256, 'C3A: size of a block; divides inputs and outputs of a layer.', at_least=1)
    delora_rank: int = opt(8, 'DeLoRA: rank of the matrices.', at_least=1)
    delora_lambda: int = opt(15, 'DeLoRA: start of the bound.', at_least=1)
    delora_dropout: float = opt(0.0, 'DeLoRA: dropout before the adapter.', at_least=0, below=1)
    hira_rank: int = opt(32, 'HiRA: rank of the matrices.', at_least=1)
    hira_dropout: float = opt(0.0, 'HiRA: dropout before the adapter.', at_least=0, below=1)
    gralora_rank: int = opt(32, 'GraLoRA: rank of all blocks together.', at_least=1)
    gralora_alpha: int = opt(64, 'GraLoRA: the adapter is scaled by alpha / rank.', at_least=1)
    gralora_dropout: float = opt(0.0, 'GraLoRA: dropout before the adapter.', at_least=0, below=1)
    gralora_k: int = opt(2, 'GraLoRA: blocks a side; divides gralora_rank.', at_least=1)
    shira_rank: int = opt(32, 'SHiRA: trains as many weights as a LoRA of this rank.', at_least=1)
    shira_seed: int = opt(42, 'SHiRA: seed of their places.', at_least=0)
    road_variant: Literal['road_1', 'road_2', 'road_4'] = opt('road_1', 'RoAd: numbers a pair and outcome.')
    road_group_size: int = opt(64, 'RoAd: outputs in which pairs are made; divides the outputs of a layer.', at_least=1)
    miss_dropout: float = opt(0.0, 'MiSS: dropout before the adapter.', at_least=0, below=1)
    glora_rank: int = opt(8, 'GLoRA: rank of what is low-rank.', at_least=1)
    glora_config_A_B: Literal['lora', 'vector', 'constant', 'none'] = opt(
        'lora', 'GLoRA: form of what multiplies the weight and of what is added to it.')
    glora_config_C: Literal['lora', 'vector', 'none'] = opt(
        'lora', 'GLoRA: form of what brings the weight to the bias.')
    glora_config_D_E: Literal['vector', 'constant', 'none'] = opt('constant', 'GLoRA: form of what changes the bias.')
    deft_rank: int = opt(8, 'DEFT: rank of what is replaced.', at_least=1)
    deft_decomposition_method: Literal['relu', 'qr'] = opt('relu', 'DEFT: how it is projected out; qr is orthogonal.')
    deft_dropout: float = opt(0.0, 'DEFT: dropout before the adapter.', at_least=0, below=1)
    peanut_rank: int = opt(32, 'PEANuT: inner width of the network.', at_least=1)
    peanut_depth: int = opt(0, 'PEANuT: layers on either side of its middle.', at_least=0)
    peanut_act_fn: str = opt('relu', 'PEANuT: nonlinear function, by its name in transformers.')
    peanut_scaling: float = opt(1.0, 'PEANuT: scale of the difference.', above=0)
    psoft_rank: int = opt(32, 'PSOFT: singular vectors that are rotated.', at_least=1)
    psoft_alpha: int = opt(32, 'PSOFT: the adapter is scaled by alpha / rank.', at_least=1)
    psoft_dropout: float = opt(0.0, 'PSOFT: dropout before the adapter.', at_least=0, below=1)
    psoft_orth: bool = opt(True, 'PSOFT: keep the rotation orthogonal.')
    psoft_mag_a: bool = opt(True, 'PSOFT: train magnitudes before the rotation.')
    psoft_mag_b: bool = opt(True, 'PSOFT: train magnitudes behind it.')
    supertuning_sparsity: float = opt(0.99, 'Super-Tuning: share of entries that stay frozen.', at_least=0, below=1)
    supertuning_select_top: bool = opt(True, 'Super-Tuning: train the largest entries; false: the smallest.')
    supertuning_rank: int | None = opt(None, 'Super-Tuning: rank of a LoRA beside it; default: none.', at_least=1)
    tinylora_rank: int = opt(2, 'TinyLoRA: singular vectors of a layer.', at_least=1)
    tinylora_u: int = opt(64, 'TinyLoRA: trained numbers a vector.', at_least=1)
    tinylora_weight_tying: float = opt(0.0, 'TinyLoRA: 0 is a vector for each layer, 1 one for all.', at_least=0,
                                       at_most=1)
    tinylora_dropout: float = opt(0.0, 'TinyLoRA: dropout before the adapter.', at_least=0, below=1)
    tinylora_projection_seed: int = opt(42, 'TinyLoRA: seed of the projections.', at_least=0)
    unilora_rank: int = opt(4, 'Uni-LoRA: rank of the matrices.', at_least=1)
    unilora_theta_d_length: int = opt(256, 'Uni-LoRA: trained numbers of all layers together.', at_least=1)
    unilora_dropout: float = opt(0.0, 'Uni-LoRA: dropout before the adapter.', at_least=0, below=1)
    unilora_proj_seed: int = opt(42, 'Uni-LoRA: seed of their places.', at_least=0)
    longlora_group_size_ratio: float = opt(0.25, 'LongLoRA: tokens that see each other in training, over all of a row.',
                                           above=0, at_most=1)
    prompt_tuning_virtual_tokens: int = opt(20, 'Prompt tuning: positions in front of each row.', unit='tokens',
                                            at_least=1)
    prompt_tuning_init: Literal['sample_vocab', 'random', 'text'] = opt(
        'sample_vocab', 'Prompt tuning: start as random words, random numbers, or prompt_tuning_init_text.')
    prompt_tuning_init_text: str | None = opt(None, 'Prompt tuning: the text to start as, repeated or cut to fit.')
    p_tuning_virtual_tokens: int = opt(20, 'P-tuning: positions in front of each row.', unit='tokens', at_least=1)
    p_tuning_encoder: Literal['mlp', 'lstm'] = opt('mlp', 'P-tuning: network that makes them.')
    p_tuning_hidden_size: int | None = opt(None, 'P-tuning: its inner width; default: the width of the model.',
                                           at_least=1)
    p_tuning_num_layers: int = opt(2, 'P-tuning: layers of the LSTM.', at_least=1)
    p_tuning_dropout: float = opt(0.0, 'P-tuning: dropout in the LSTM.', at_least=0, below=1)
    prefix_tuning_virtual_tokens: int = opt(20, 'Prefix tuning: keys and values in front of each row.', unit='tokens',
                                            at_least=1)
    prefix_tuning_projection: bool = opt(True, 'Prefix tuning: a small network makes them.')
    prefix_tuning_hidden_size: int = opt(512, 'Prefix tuning: its inner width.', at_least=1)
    llamapro_num_new_blocks: int = opt(4, 'LLaMA Pro: blocks that are added.', at_least=1)
    llamapro_num_groups: int | None = opt(
        None, 'LLaMA Pro: groups of blocks, each followed by new ones; default: as many as new blocks.', at_least=1)
    llamapro_block_path: str = opt('', 'LLaMA Pro: name of the list of blocks; default: the largest list of the model.')
    llamapro_output_projections: list[str] = opt(
        [], 'LLaMA Pro: names of the layers of a block that write to the hidden state; default: the usual ones.')
    reft_layers: list[int] = opt([], 'ReFT: blocks behind which the hidden state is edited, from 0; default: all.')
    reft_layer_key: str = opt('', 'ReFT: name of the list of blocks; default: the largest list of the model.')
    reft_rank: int = opt(4, 'ReFT: dimensions of the subspace in which it is edited.', at_least=1)
    reft_intervention_type: Literal['LoreftIntervention', 'NoreftIntervention', 'ConsreftIntervention',
                                    'LobireftIntervention', 'DireftIntervention', 'NodireftIntervention'] = opt(
        'LoreftIntervention', 'ReFT: the kind of edit, by its name in pyreft.')
    reft_args: str | None = opt(None, 'ReFT: JSON map with dropout, act_fn and add_bias.')
    reft_hidden_size: int | None = opt(
        None, 'ReFT: width of the hidden state; default: that of the normalisations of a block.', at_least=1)
    adapter_act: Literal['gelu', 'gelu_new', 'relu', 'silu', 'tanh', 'mish', 'leaky_relu'] = opt(
        'gelu', 'Adapter: activation of the small network.')
    adapter_length: int = opt(128, 'Adapter: size of the small network in between.', at_least=1)
    side_alpha: float = opt(4.0, 'Side: start of the mixture; sigmoid(alpha) is the share of the model itself.')
    restuning_length: int = opt(32, 'Res-Tuning: size of its small networks in between.', at_least=1)


@dataclass(frozen=True)
class TrainArgs(Group):
    """The training loop: batch, optimizer, schedule, evaluation, saving, processes, reports."""

    output_dir: str = opt('output', 'Root of run folders.')
    add_version: bool | None = opt(None, 'Write to OUTPUT_DIR/<model>/vN-<time> (default) instead of OUTPUT_DIR.')
    per_device_train_batch_size: int = opt(
        1, 'Rows a micro-batch on each process; with --packing true packed sequences.', unit='rows', at_least=1)
    per_device_eval_batch_size: int | None = opt(
        None, 'Rows (packed sequences) a batch in evaluation; default: as in training.', unit='rows', at_least=1)
    gradient_accumulation_steps: int | None = opt(
        None, 'Micro-batches a step; default: so many that a step has about 16 rows (packed sequences), 1 with '
        '--max_tokens_per_batch.', unit='batches', at_least=1)
    packing: bool = opt(False, 'Pack rows into sequences of --max_length tokens; each row sees itself only.')
    packing_length: int | None = opt(None, 'Tokens of a packed sequence; default: --max_length.', unit='tokens',
                                     at_least=1)
    max_tokens_per_batch: int | None = opt(
        None, 'Fill each micro-batch with rows up to so many tokens, instead of so many rows.', unit='tokens',
        at_least=1)
    num_train_epochs: float = opt(1.0, 'Times the training data is seen.', unit='epochs', above=0)
    max_steps: int = opt(-1, 'End after so many steps, whatever the epochs; -1 is off.', unit='steps', at_least=-1)
    learning_rate: float | None = opt(None, 'Peak learning rate; default: 1e-4 for adapters, 1e-5 for full training.',
                                      at_least=0)
    weight_decay: float = opt(0.1, 'Weight decay.', at_least=0)
    adam_beta1: float = opt(0.9, 'Adam: decay of the first moment.', at_least=0, below=1)
    adam_beta2: float = opt(0.95, 'Adam: decay of the second moment.', at_least=0, below=1)
    adam_epsilon: float = opt(1e-8, 'Adam: added to the denominator.', above=0)
    max_grad_norm: float = opt(1.0, 'Clip the gradient to this norm; 0 is off.', at_least=0)
    lr_scheduler_type: str = opt('cosine', 'Schedule of the learning rate, by its name in transformers.')
    lr_scheduler_kwargs: str | None = opt(None, 'JSON map of more settings of the schedule.')
    warmup_ratio: float = opt(0.05, 'Fraction of the steps in which the learning rate rises.', at_least=0, at_most=1)
    warmup_steps: int = opt(0, 'Steps in which it rises; above 0 it replaces --warmup_ratio.', unit='steps',
                            at_least=0)
    optim: str | None = opt(None, 'Optimizer, by its name in transformers, or adamw_bf16, adamw_sr, galore, apollo, '
                                  'apollo_mini or muon. Default: adamw_bf16 where the weights that are trained are '
                                  'bfloat16, else adamw_torch.')
    eval_strategy: Literal['steps', 'epoch', 'no'] = opt('steps', 'When to evaluate.')
    eval_steps: int | None = opt(None, 'Steps between evaluations; default: 50 for adapters, 200 for full training '
                                       '(pt: 500).', unit='steps', at_least=1)
    save_strategy: Literal['steps', 'epoch', 'no'] = opt('steps', 'When to save a checkpoint.')
    save_steps: int | None = opt(None, 'Steps between checkpoints; default: --eval_steps.', unit='steps', at_least=1)
    save_total_limit: int = opt(2, 'Checkpoints kept: with 2 the best and the last; -1 keeps all.', unit='checkpoints',
                                at_least=-1)
    save_only_model: bool = opt(False, 'Leave optimizer and random state out of checkpoints; they can not be resumed '
                                       'exactly.')
    logging_steps: int = opt(5, 'Steps between log lines.', unit='steps', at_least=1)
    acc_steps: int = opt(1, 'Steps between measurements of training accuracy.', unit='steps', at_least=1)
    acc_strategy: Literal['token', 'sentence'] = opt('token', 'Accuracy of tokens, or of whole answers.')
    full_determinism: bool = opt(False, 'The same numbers to the last bit each time, at some speed.')
    resume_from_checkpoint: str | None = opt(None, 'Go on from this checkpoint folder; latest finds the newest under '
                                                   '--output_dir.')
    resume_only_model: bool = opt(False, 'Take only the weights from that checkpoint, and start the schedule anew.')
    ignore_data_skip: bool = opt(False, 'Do not skip the rows that were already seen when resuming.')
    recompute: Literal['auto', 'none', 'light', 'selective', 'full'] = opt(
        'auto', 'Activations that are computed again in the backward to save memory: norms and the activation (light), '
        'gate and up projections too (selective), whole blocks (full). auto: what the memory needs; none on a CPU.')
    gradient_checkpointing: bool | None = opt(None, 'The older spelling: true is --recompute full, false is none.')
    fused_loss_head: bool | None = opt(None, 'Compute the loss without holding the logits of all tokens. Default: '
                                             'where it gives the loss of the plain way, which is tried.')
    fused_blocks: bool | None = opt(None, 'Compute each decoder block as one operator. Default: where the model has '
                                          'such blocks and it gives what they give, which is tried.')
    fused_lora: bool | None = opt(None, 'Compute adapters of LoRA by fused operators where blocks are not fused. '
                                        'Default: on accelerators, where that gives what peft gives, which is tried.')
    offload_activations: bool = opt(False, 'Keep the inputs of blocks in the memory of the host until the backward; '
                                           'with --recompute full and fused blocks, on CUDA.')
    deepspeed: str | None = opt(None, 'zero1, zero2, zero3, zero2_offload, zero3_offload, a JSON file, or JSON text.')
    fsdp: str = opt('', 'FSDP options of transformers ("full_shard auto_wrap").')
    fsdp_config: str | None = opt(None, 'FSDP configuration: a JSON file, or JSON text.')
    ddp_backend: Literal['nccl', 'gloo', 'mpi', 'ccl', 'hccl'] | None = opt(
        None, 'How processes talk; default: nccl on GPUs, gloo on CPUs.')
    ddp_timeout: int = opt(1800, 'Longest wait of one process for the others.', unit='seconds', at_least=1)
    ddp_find_unused_parameters: bool | None = opt(None, 'DDP: look for parameters without gradient in each step.')
    ddp_broadcast_buffers: bool | None = opt(None, 'DDP: send buffers from the first process in each step.')
    dataloader_num_workers: int | None = opt(None, 'Processes that load rows; default: 0, rows are read from a memory '
                                                   'map.', unit='processes', at_least=0)
    dataloader_pin_memory: bool = opt(True, 'Copy batches through pinned memory.')
    dataloader_drop_last: bool = opt(False, 'Drop the last, smaller batch.')
    report_to: list[str] = opt(['tensorboard'], 'Where metrics go beside logging.jsonl; none for nowhere.')
    logging_dir: str | None = opt(None, 'TensorBoard folder; default: runs/ in the run folder.')
    disable_tqdm: bool = opt(False, 'No progress bar.')
    neftune_noise_alpha: float | None = opt(None, 'NEFTune: magnitude of the noise on embeddings; 5 is usual.',
                                            at_least=0)
    save_on_each_node: bool = opt(False, 'Save on every node instead of only the first.')
    include_num_input_tokens_seen: bool = opt(False, 'Log how many tokens were seen.')
    hf_options: dict[str, Any] = opt({}, 'Names of transformers.TrainingArguments that are passed through as typed.')

    def further_problems(self) -> list[str]:
        if self.save_total_limit == 0:
            return ['--save_total_limit 0 would keep nothing; give 1 or more, -1 to keep all, or --save_strategy no.']
        return ['--max_steps must be -1 (off) or at least 1, got 0.'] if self.max_steps == 0 else []


@dataclass(frozen=True)
class RunArgs(Group):
    """What every command has."""

    seed: int = opt(42, 'Seed of everything random.', at_least=0)


@dataclass(frozen=True)
class GenerationArgs(Group):
    """How answers are generated; in training, how `swift infer --ckpt_dir` will. None is up to the model's config."""

    max_new_tokens: int = opt(2048, 'Longest answer.', unit='tokens', at_least=1)
    temperature: float | None = opt(None, 'Randomness; 0 takes the likeliest token each time.', at_least=0)
    top_k: int | None = opt(None, 'Sample among the k likeliest tokens; 0 is all.', unit='tokens', at_least=0)
    top_p: float | None = opt(None, 'Sample among the smallest set of tokens with this probability.', above=0,
                              at_most=1)
    repetition_penalty: float | None = opt(None, 'Above 1 makes tokens already seen less likely.', above=0)
    num_beams: int = opt(1, 'Width of beam search; 1 is none.', at_least=1)
    do_sample: bool | None = opt(None, 'false always takes the likeliest token.')
    stop_words: list[str] = opt([], 'More strings at which an answer ends.')
    stream: bool = opt(True, 'Show an answer while it is written.')


@dataclass(frozen=True)
class InferArgs(Group):
    """Chat or batch inference: what is loaded and where answers go."""

    adapters: list[str] = opt([], 'Folders of trained adapters.')
    load_args: bool = opt(True, "Take model, template, system and generation settings from the checkpoint's args.json; "
                                'what is typed wins.')
    load_data_args: bool = opt(False, 'Take the data settings from it too, and answer its validation rows.')
    result_path: str | None = opt(None, 'A .jsonl file for the answers, or a folder that gets <time>.jsonl; default: '
                                        'infer_result/ in the checkpoint.')
    infer_backend: Literal['auto', 'transformers'] = opt('auto', 'What generates.')
    merge_lora: bool = opt(False, 'Merge the adapter into the weights before answering.')
    merge_tolerance: float | None = opt(
        None, 'Write a merged model only when its mean KL divergence from the adapter on the base model is at most so '
        'much. Default: 1e-6 in float32, 5e-5 in float16, 1e-3 in bfloat16.', unit='nats a token', above=0)
    eval_human: bool | None = opt(None, 'Chat (true) or answer a data set (false); default: chat when there is no '
                                        'data set.')
    val_dataset_sample: int = opt(-1, 'Answer only so many rows; -1 is all.', unit='rows', at_least=-1)
    verbose: bool | None = opt(None, 'Print each answer in batch mode; default: when there are few.')
    max_batch_size: int = opt(1, 'Rows answered together.', unit='rows', at_least=1)
    save_result: bool = opt(True, 'Write the answers to a file.')
