"""Decoder blocks of a transformers model replaced, on this one instance, by :mod:`swift.kernels.block`.

Only here is known which classes of models have such blocks and where in them weights and adapters are. A
:class:`FusedBlock` has the children of the block in whose place it stands, under their names: parameters, checkpoints
and adapters see no difference, and whatever it does not do itself (a key-value cache, padded batches, merged or
disabled adapters) it leaves to that block. All blocks of a model are replaced or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from peft.tuners import lora
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from swift.kernels.block import BlockSpec, DecoderBlock, Norms, Recompute, run_block
from swift.kernels.linear_group import Adapter, LinearGroup, Member
from swift.kernels.offload import HostMemory
from swift.kernels.small_copies import SmallCopies
from swift.kernels.varlen import Documents
from swift.trainers.batching import is_spread
from swift.utils.logging import get_logger

logger = get_logger()

_ACTIVATIONS = {'silu': 'silu', 'swish': 'silu', 'gelu': 'gelu', 'gelu_pytorch_tanh': 'gelu_tanh'}
_PARTS = ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj',
          'mlp.up_proj', 'mlp.down_proj')


def _plain_spec(config: PreTrainedConfig, attention: nn.Module) -> BlockSpec:
    return BlockSpec(config.num_attention_heads, config.num_key_value_heads, attention.head_dim, config.rms_norm_eps,
                     _ACTIVATIONS[config.hidden_act], scale=attention.scaling)


def _mistral(config: PreTrainedConfig, attention: nn.Module) -> BlockSpec:
    return replace(_plain_spec(config, attention), window=config.sliding_window)


def _qwen(config: PreTrainedConfig, attention: nn.Module) -> BlockSpec:
    return replace(_plain_spec(config, attention), window=attention.sliding_window)


def _gemma(config: PreTrainedConfig, attention: nn.Module) -> BlockSpec:
    return replace(_plain_spec(config, attention), norm_offset=1.0)


# Class of a block -> what it does. Those whose forward is: norm, attention, sum, norm, gated layers, sum.
BLOCKS: dict[str, Callable[[PreTrainedConfig, nn.Module], BlockSpec]] = {
    'LlamaDecoderLayer': _plain_spec, 'MistralDecoderLayer': _mistral, 'Qwen2DecoderLayer': _qwen,
    'Qwen3DecoderLayer': _qwen, 'GemmaDecoderLayer': _gemma,
}


class FusedBlock(nn.Module):
    """A block of a model in the place of ``original``.

    Args:
        original: the model's own block; its children become those of this one.
        block: what is computed instead.

    Attributes:
        recompute: see :mod:`swift.kernels.block`.
        offload: where the inputs of blocks wait under 'full'; None is on the device.
    """

    def __init__(self, original: nn.Module, block: DecoderBlock) -> None:
        super().__init__()
        for name, child in original.named_children():
            self.add_module(name, child)
        for name, value in vars(original).items():  # attention_type and the like, which the model's forward reads
            if not name.startswith('_') and name != 'training':
                setattr(self, name, value)
        self._original = (original,)  # in a tuple it is no child, so that no parameter has two names
        self.block = block
        self.recompute: Recompute = 'light'
        self.offload: HostMemory | None = None
        self.ready = False  # set by :class:`InstalledBlocks` in front of each forward of the model
        self.train(original.training)

    def train(self, mode: bool = True) -> FusedBlock:
        super().train(mode)
        self.original.training = mode
        return self

    @property
    def original(self) -> nn.Module:
        return self._original[0]

    def forward(self, hidden_states: torch.Tensor, *args: Any, documents: Documents | None = None,
                position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None, past_key_values: Any = None,
                **kwargs: Any) -> torch.Tensor:
        """``hidden_states`` [1, N, D] with ``documents``; anything else goes to the original."""
        if (not self.ready or documents is None or args or past_key_values is not None
                or hidden_states.dtype != self.block.qkv.dtype):
            more = {'documents': documents} if documents is not None else {}
            return self.original(hidden_states, *args, position_embeddings=position_embeddings,
                                 past_key_values=past_key_values, **more, **kwargs)
        cos, sin = (part[0] for part in position_embeddings)
        return run_block(self.block, hidden_states[0], cos, sin, documents, training=self.training,
                         recompute=self.recompute, offload=self.offload)[None]


class InstalledBlocks:
    """Fused blocks in their places.

    Args:
        layers: they.
        decoder: the module that holds the list of blocks.
    """

    def __init__(self, layers: tuple[FusedBlock, ...], decoder: nn.Module) -> None:
        self.layers = layers
        self.decoder = decoder
        self._state = _state(layers)
        self._told = False
        for i, layer in enumerate(layers):
            decoder.layers[i] = layer
        self._groups = [group for layer in layers for group in layer.block.groups]
        self._copies = SmallCopies(copy for group in self._groups for copy in group.copies())
        self._hook = decoder.register_forward_pre_hook(self.refresh)

    def keep(self, recompute: Recompute, *, offload: bool = False) -> None:
        """What waits for the backward from now on, and where."""
        memory = HostMemory() if offload else None
        for layer in self.layers:
            layer.recompute, layer.offload = recompute, memory

    def refresh(self, *_: Any) -> None:
        """Take over adapters as they are now; runs in front of each forward of the model."""
        packed = all(group.is_packed() for group in self._groups)
        if not packed and not self._told:
            self._told = True
            logger.warning('The weights of the model were moved to other memory: its blocks are those of transformers '
                           'from here on.')
        ready = packed and _state(self.layers) == self._state
        for layer in self.layers:
            layer.ready = ready
        if ready:
            self._copies.make()

    def restore(self) -> None:
        """Put the model's own blocks back."""
        self._hook.remove()
        for i, layer in enumerate(self.layers):
            for group in layer.block.groups:
                group.unpack()
            self.decoder.layers[i] = layer.original


def fuse_blocks(model: PreTrainedModel, typed: bool | None, *, sharded: bool,
                computed_in: torch.dtype | None = None) -> InstalledBlocks | None:
    """Replace the blocks of a transformers model where that gives what they give; says what was decided.

    Args:
        model: without wrappers; adapters are inside.
        typed: ``--fused_blocks``; a reason against it is a warning when it was asked for.
        sharded: parameters are spread over processes by ZeRO-3 or FSDP.
        computed_in: of the training, where weights may have another dtype (full training in float16); None is theirs.
    """
    if typed is False:
        return None
    if sharded:
        found: InstalledBlocks | str = 'its parameters are sharded'
    elif is_spread(model):
        found = 'the model lies on several devices'
    elif computed_in not in (None, model.dtype):
        found = f'its weights are {_plain(model.dtype)} and it is computed in {_plain(computed_in)}'
    else:
        found = _install(model)
    if isinstance(found, InstalledBlocks):
        problem = disagreement(found)
        if problem is not None:
            found.restore()
            found = problem
    if isinstance(found, str):
        (logger.warning if typed else logger.info)('Blocks are those of transformers: %s.', found)
        return None
    logger.info('Fused blocks: %d; tried on this model, values and gradients are those of transformers.',
                len(found.layers))
    return found


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix('torch.')


def _install(model: PreTrainedModel) -> InstalledBlocks | str:
    decoder = model.get_decoder()
    layers = [module for name, module in decoder.named_children() if name == 'layers']
    strange = sorted({type(layer).__name__ for part in layers for layer in part} - BLOCKS.keys())
    if strange or not layers:
        return f'there is no fused block for {strange[0] if strange else type(decoder).__name__}'
    config = model.config.get_text_config()
    if config.hidden_act not in _ACTIVATIONS:
        return f'there is no fused block with the activation {config.hidden_act}'
    layers = list(decoder.layers)
    problem = next(filter(None, map(_strange, layers)), None)
    if problem is not None:
        return problem
    fused = tuple(FusedBlock(layer, _block_of(layer, BLOCKS[type(layer).__name__](config, layer.self_attn)))
                  for layer in layers)
    return InstalledBlocks(fused, decoder)


def _strange(layer: nn.Module) -> str | None:
    """What of a block is not as its class makes it, as the end of a sentence."""
    for name, module in layer.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
            return f'{name or "a block"} has hooks'
    if layer.self_attn.attention_dropout:
        return 'its attention has dropout'
    adapted = []
    for name in _PARTS:
        module = layer.get_submodule(name)
        if type(module) is nn.Linear:
            continue
        if type(module) is not lora.Linear or type(module.base_layer) is not nn.Linear:
            return f'{name} is a {type(module).__name__}'
        active = list(module.active_adapters)
        if len(active) != 1 or active[0] not in module.lora_A:
            return f'{name} has {len(active)} active adapters'
        if module.lora_variant or module.merged or module.lora_bias[active[0]] or module.fan_in_fan_out:
            return f'{name} has an adapter of another kind than plain LoRA'
        adapted.append((name, _dropout(module)))
    names = {'self_attn': {'q_proj', 'k_proj', 'v_proj', 'o_proj', 'q_norm', 'k_norm'},
             'mlp': {'gate_proj', 'up_proj', 'down_proj', 'act_fn'}}
    for parent, known in names.items():
        more = {name for name, _ in layer.get_submodule(parent).named_children()} - known
        if more:
            return f'{parent} has a part {sorted(more)[0]}'
    if len({dropout for _, dropout in adapted}) > 1:
        return 'its adapters have different dropout'
    if len({layer.get_submodule(name).weight.dtype for name in _PARTS}) > 1:
        return 'its weights have different types'
    return None


def _dropout(module: lora.Linear) -> float:
    dropout = module.lora_dropout[module.active_adapters[0]]
    return dropout.p if isinstance(dropout, nn.Dropout) else 0.0


def _member(module: nn.Module) -> Member:
    if type(module) is nn.Linear:
        return Member(module.weight, module.bias, None)
    name, base = module.active_adapters[0], module.base_layer
    adapter = Adapter(module.lora_A[name].weight, module.lora_B[name].weight, module.scaling[name], _dropout(module))
    return Member(base.weight, base.bias, adapter)


def _block_of(layer: nn.Module, spec: BlockSpec) -> DecoderBlock:
    members = {name.rpartition('.')[2]: _member(layer.get_submodule(name)) for name in _PARTS}

    def group(*names: str, extend: bool) -> LinearGroup:
        return LinearGroup([members[name] for name in names], extend=extend)

    attention = layer.self_attn
    heads = dict(attention.named_children())
    norms = Norms(layer.input_layernorm.weight, layer.post_attention_layernorm.weight,
                  *(heads[name].weight if name in heads else None for name in ('q_norm', 'k_norm')))
    return DecoderBlock(spec, norms, qkv=group('q_proj', 'k_proj', 'v_proj', extend=True),
                        out=group('o_proj', extend=False), gate_up=group('gate_proj', 'up_proj', extend=True),
                        down=group('down_proj', extend=False))


def _adapted(layers: tuple[FusedBlock, ...]) -> Iterator[lora.Linear]:
    for layer in layers:
        for name in _PARTS:
            module = layer.get_submodule(name)
            if isinstance(module, lora.Linear):
                yield module


def _state(layers: tuple[FusedBlock, ...]) -> tuple[Any, ...]:
    """What peft may change about adapters while a model lives."""
    return tuple((tuple(module.active_adapters), module.disable_adapters, module.merged, *module.scaling.values())
                 for module in _adapted(layers))


# ---------------------------------------------------------------------------------------------------------- the trial

def disagreement(found: InstalledBlocks) -> str | None:
    """Run the first and the last block on a few random tokens, fused and as transformers has them.

    Returns:
        How they differ, as the end of a sentence, or None when values and gradients agree.
    """
    found.refresh()
    first = found.layers[0]
    device, dtype = first.block.norms.first.device, first.block.qkv.dtype
    generator = torch.Generator().manual_seed(0)
    lengths = (5, 1, 10)
    x = torch.randn(1, sum(lengths), first.block.qkv.inputs, generator=generator).to(device, dtype)
    dy = torch.randn(1, sum(lengths), first.block.qkv.inputs, generator=generator).to(device, dtype)
    positions = torch.cat([torch.arange(n) for n in lengths])[None].to(device)
    documents = Documents.of(lengths).to(device)
    tolerance = 1e-4 if dtype in (torch.float32, torch.float64) else 4e-2  # norms of transformers are float32 at most
    rotary = found.decoder.rotary_emb(x, positions)

    def plain(layer: FusedBlock, h: torch.Tensor) -> torch.Tensor:
        return _one_by_one(layer.original, h, rotary, lengths)

    def fused(layer: FusedBlock, h: torch.Tensor) -> torch.Tensor:
        return layer(h, position_embeddings=rotary, documents=documents)

    for layer in {id(layer): layer for layer in (first, found.layers[-1])}.values():
        was_training = layer.training
        layer.eval()
        layer.ready = True
        try:
            expected, ours = (_value_and_gradients(run, layer, x, dy) for run in (plain, fused))
        except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as e:
            return f'the fused one fails in this model ({str(e).splitlines()[0] if str(e) else type(e).__name__})'
        finally:
            layer.train(was_training)
            layer.ready = False
        for name, tensor in expected.items():
            if not (tensor - ours[name]).abs().max() <= tolerance * tensor.abs().max() + 1e-30:
                return f'{name} of the fused one differs in this model'
    return None


def _value_and_gradients(run: Callable[[FusedBlock, torch.Tensor], torch.Tensor], layer: FusedBlock, x: torch.Tensor,
                         dy: torch.Tensor) -> dict[str, torch.Tensor]:
    trained = {name: parameter for name, parameter in layer.named_parameters() if parameter.requires_grad}
    with torch.enable_grad():
        h = x.clone().requires_grad_()
        y = run(layer, h)
        grads = torch.autograd.grad(y, [h, *trained.values()], dy, allow_unused=True)
    found = {'the value': y, 'the gradient of the input': grads[0]}
    found |= {f'the gradient of {name}': grad for name, grad in zip(trained, grads[1:], strict=True)
              if grad is not None}
    return {name: tensor.detach().double() for name, tensor in found.items()}


def _one_by_one(block: nn.Module, h: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor],
                lengths: tuple[int, ...]) -> torch.Tensor:
    """The original on each document alone, which needs no mask but the causal one."""
    parts, begin = [], 0
    for length in lengths:
        rows = slice(begin, begin + length)
        parts.append(block(h[:, rows], position_embeddings=tuple(part[:, rows] for part in rotary),
                           attention_mask=None, past_key_values=None, use_cache=False))
        begin += length
    return torch.cat(parts, 1)
