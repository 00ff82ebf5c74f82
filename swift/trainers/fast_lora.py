"""peft's LoRA layers with a faster forward, on this one model, until they are taken out again.

A layer is put in the place of peft's that has the same state: one dictionary of attributes, so the same parameters,
hooks, adapters and flags under the same names. Whatever peft does to a layer of its own (saves, merges, switches,
adds adapters) it does to this one. Only the forward is another, and what that can't do it leaves to peft's.

Layers that are called with the same tensor (q, k and v; gate and up) are computed together by the first that is called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from peft.tuners.lora import Linear, LoraLayer
from peft.tuners.lora.variants import DoraLinearVariant
from torch import nn

from swift.kernels.dora import dora_linear
from swift.kernels.lora_linear import Adapter, Layer, lora_linear
from swift.trainers.head import few_tokens
from swift.trainers.loss import causal_lm_loss
from swift.utils.logging import get_logger

logger = get_logger()

GROUP = 'fast_group'
"""Attribute of a layer that is computed together with others."""


class FastLinear(Linear):
    """As :class:`peft.tuners.lora.Linear`; ``original`` is one, whose state it shares."""

    def __init__(self, original: Linear) -> None:
        object.__setattr__(self, '__dict__', original.__dict__)

    def forward(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        # peft gives further arguments only to batches of several adapters
        y = None if args or kwargs else fast_forward(self, x)
        return super().forward(x, *args, **kwargs) if y is None else y

    def described(self, x: torch.Tensor) -> Layer | None:
        """What it computes now, read from its state; None where only peft's own forward will do."""
        adapters, base = adapters_of(self), self.base_layer
        if adapters is None or self.fan_in_fan_out or not x.is_floating_point():
            return None
        autocast = torch.is_autocast_enabled(x.device.type)
        if not autocast and any(adapter.a.dtype != x.dtype for adapter in adapters):
            return None  # peft computes the adapter in its own dtype
        if is_plain(base, nn.Linear) and type(base.weight) is nn.Parameter:
            return Layer(base.weight, adapters, base.bias) if autocast or base.weight.dtype == x.dtype else None
        if is_dora(self):
            return None
        y = base(x)
        fits = y.dtype == (torch.get_autocast_dtype(x.device.type) if autocast else x.dtype)
        return Layer(None, adapters, output=y) if fits else None


def fast_forward(layer: FastLinear, x: torch.Tensor) -> torch.Tensor | None:
    """The output of a fast layer, or None where only peft's own forward will do."""
    group: SameInput | None = vars(layer).get(GROUP)
    y = None if group is None else group.output(layer, x)
    if y is not None:
        return y
    described = layer.described(x)
    if described is None:
        return None
    if is_dora(layer):
        return dora_linear(x, described, layer.lora_magnitude_vector[_in_effect(layer)[0]].weight)
    return lora_linear(x, [described])[0]


def adapters_of(layer: LoraLayer) -> tuple[Adapter, ...] | None:
    """The adapters in effect; None where there are none, or one is more than A, B and a dropout, or DoRA."""
    names = _in_effect(layer)
    if layer.disable_adapters or layer.merged or not names:
        return None
    variants = [layer.lora_variant[name] for name in names if name in layer.lora_variant]
    if variants and (len(names) > 1 or layer.ephemeral_gpu_offload or type(variants[0]) is not DoraLinearVariant):
        return None
    found = []
    for name in names:
        a, b, dropout = layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name]
        plain = all(is_plain(side, nn.Linear) and type(side.weight) is nn.Parameter and side.bias is None
                    for side in (a, b))
        if not plain or type(dropout) not in (nn.Dropout, nn.Identity):
            return None
        drops = type(dropout) is nn.Dropout and dropout.training
        found.append(Adapter(a.weight, b.weight, layer.scaling[name], dropout.p if drops else 0.0))
    return tuple(found)


def is_dora(layer: LoraLayer) -> bool:
    return any(name in layer.lora_variant for name in _in_effect(layer))


def _in_effect(layer: LoraLayer) -> list[str]:
    return [name for name in layer.active_adapters if name in layer.lora_A]


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether reading its parameters is calling it: no subclass, no hooks, no forward of another library."""
    return (type(module) is kind and 'forward' not in vars(module) and not module._forward_hooks
            and not module._forward_pre_hooks and not module._backward_hooks and not module._backward_pre_hooks)


@dataclass(eq=False)
class SameInput:
    """Layers that are called one after the other with the same tensor.

    The first that is called computes the outputs of all, the others take theirs. Where one is called with another
    tensor, or not at all, the group ends: nothing is computed in vain twice.
    """

    members: list[FastLinear]
    together: bool = True
    _input: torch.Tensor | None = None
    _state: tuple = ()
    _outputs: dict[int, torch.Tensor] = field(default_factory=dict)

    def output(self, layer: LoraLayer, x: torch.Tensor) -> torch.Tensor | None:
        """None where it must be computed alone."""
        if not self.together:
            return None
        state = (x._version, torch.is_grad_enabled(), torch.is_autocast_enabled(x.device.type))
        if self._outputs:
            y = self._outputs.pop(id(layer), None) if x is self._input and state == self._state else None
            if y is None:
                self.together = False
            if y is None or not self._outputs:
                self.forget()
            return y
        if any(is_dora(member) for member in self.members):
            return None
        described = [member.described(x) for member in self.members]
        if any(one is None for one in described):
            return None
        if any(one.output is not None for one in described):  # was not so in the trial
            self.together = False
            return None
        outputs = dict(zip(map(id, self.members), lora_linear(x, described), strict=True))
        y = outputs.pop(id(layer))
        self._input, self._state, self._outputs = x, state, outputs
        return y

    def forget(self) -> None:
        self._input, self._outputs = None, {}


@dataclass(frozen=True)
class FastAdapters:
    """Faster layers in their places.

    Attributes:
        places: (parent, name in it, peft's layer) of each.
        groups: those that are computed together.
    """

    places: tuple[tuple[nn.Module, str, LoraLayer], ...]
    groups: list[SameInput] = field(default_factory=list)

    def restore(self) -> None:
        """Put peft's own layers back, with the state of now."""
        self.ungroup()
        for parent, name, original in self.places:
            setattr(parent, name, original)

    def group(self, calls: list[tuple[FastLinear, torch.Tensor, Layer | None]]) -> None:
        """Let layers of one parent that are called one after the other with the same tensor be computed together.

        Args:
            calls: of one forward: (layer, its input, what it computes).
        """
        parents = {id(getattr(parent, name)): parent for parent, name, _ in self.places}
        times = Counter(id(layer) for layer, _, _ in calls)
        row: list[FastLinear] = []
        last: tuple[nn.Module, torch.Tensor] | None = None
        for layer, x, described in [*calls, (None, None, None)]:
            alone = described is None or described.output is not None or is_dora(layer) or times[id(layer)] > 1
            key = None if alone else (parents[id(layer)], x)
            if key is None or last is None or key[0] is not last[0] or key[1] is not last[1]:
                if len(row) > 1:
                    self.groups.append(SameInput(row))
                row = []
            if key is not None:
                row.append(layer)
            last = key
        for together in self.groups:
            for member in together.members:
                object.__setattr__(member, GROUP, together)

    def ungroup(self) -> None:
        for together in self.groups:
            for member in together.members:
                delattr(member, GROUP)
        self.groups.clear()


def install(model: nn.Module) -> FastAdapters | str:
    """Put fast layers in the places of peft's LoRA layers of linear and 4-bit layers.

    Returns:
        What undoes it; or why it was not done, as the end of a sentence.
    """
    places = []
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is Linear or _is_4bit(child):
                places.append((parent, name, child))
    kept = [place for place in places if 'forward' not in vars(place[2])]
    if not kept:
        return 'it has no LoRA layers' if not places else 'another library has replaced the forward of its LoRA layers'
    faster: dict[int, nn.Module] = {}  # a layer with two names stays one
    for parent, name, child in kept:
        if id(child) not in faster:
            faster[id(child)] = FastLinear(child) if type(child) is Linear else _fast_4bit(child)
        setattr(parent, name, faster[id(child)])
    return FastAdapters(tuple(kept))


def _is_4bit(module: nn.Module) -> bool:
    # known by its name alone, as bitsandbytes may not be installed
    return isinstance(module, LoraLayer) and (type(module).__module__, type(module).__name__) == (
        'peft.tuners.lora.bnb', 'Linear4bit')


def _fast_4bit(module: nn.Module) -> nn.Module:
    from swift.trainers.fast_lora_4bit import FastLinear4bit  # imports bitsandbytes

    return FastLinear4bit(module)


# ---- on a model


def fuse_adapters(model: nn.Module, typed: bool | None, *, mixed_precision: torch.dtype,
                  sharded: bool) -> FastAdapters | None:
    """Make the LoRA layers of a transformers model faster, where that computes the same; says what was decided.

    Args:
        model: without wrappers, adapters inside.
        typed: ``--fused_lora``; a reason against it is a warning when it was asked for.
        mixed_precision: float32 for none, bfloat16 or float16 for the autocast under which it will train.
        sharded: parameters are spread over processes by ZeRO-3 or FSDP, which gather them around the modules of peft.
    """
    if typed is False or not any(isinstance(module, LoraLayer) for module in model.modules()):
        return None
    done: FastAdapters | str = 'its parameters are sharded' if sharded else install(model)
    if isinstance(done, FastAdapters):
        problem = disagreement(model, done, mixed_precision)
        if problem is not None:
            done.restore()
            done = problem
    if isinstance(done, str):
        (logger.warning if typed else logger.info)('LoRA is computed by peft: %s.', done)
        return None
    logger.info('Fused LoRA: %d layers, %d of them in %d groups that share their input; tried on this model, loss and '
                'gradients are those of peft.', len(done.places), sum(len(group.members) for group in done.groups),
                len(done.groups))
    return done


def disagreement(model: nn.Module, fast: FastAdapters, mixed_precision: torch.dtype) -> str | None:
    """Compare loss and gradients of adapters on a few tokens with peft's; find which layers read the same input.

    Args:
        model: with ``fast`` in it.
        fast: gets its groups.
        mixed_precision: as for :func:`fuse_adapters`.

    Returns:
        How they differ, as the end of a sentence, or None when they agree.
    """
    adapters = [parameter for _, _, layer in fast.places for side in (layer.lora_A, layer.lora_B)
                for module in side.values() for parameter in module.parameters() if parameter.requires_grad]
    if not adapters:
        return 'none of its adapters is trained'
    was_training = model.training
    model.eval()
    device = model.get_input_embeddings().weight.device
    batch = {name: tensor.to(device) for name, tensor in few_tokens(model.config.get_text_config().vocab_size).items()}
    mixed = mixed_precision != torch.float32
    try:
        with (_with_random_b(fast), torch.enable_grad(),
              torch.autocast(device.type, mixed_precision if mixed else None, enabled=mixed)):
            calls = _calls(model, fast, batch)
            if all(described is None for _, _, described in calls):
                return 'its layers have hooks, another dtype than their input, or are of a kind that is left to peft'
            fast.group(calls)
            ours = _loss_and_gradients(model, batch, adapters)
            with _taken_out(fast):
                plain = _loss_and_gradients(model, batch, adapters)
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as e:  # of the model's own code
        return f'the fused one fails in this model ({str(e).splitlines()[0] if str(e) else type(e).__name__})'
    finally:
        model.train(was_training)
    exact = not mixed and all(parameter.dtype == torch.float32 for parameter in adapters)
    largest = max(gradient.norm() for gradient in plain[1:])
    for what, one, other in zip(['loss'] + ['gradient'] * len(adapters), plain, ours, strict=True):
        # rounding of 16 bits adds up over layers; a layer that is wrong is wrong by all of itself
        tolerance = 1e-3 if exact else 2e-2 if what == 'loss' else 0.25
        floor = 0.0 if what == 'loss' else 1e-2 * largest
        if not (one - other).norm() <= tolerance * (one.norm() + floor):
            return f'the {what} of the fused one differs in this model'
    return None


@contextmanager
def _with_random_b(fast: FastAdapters) -> Iterator[None]:
    """B is zero in a new adapter, and with it the gradient of A: for the trial it is not."""
    weights = [b.weight for _, _, layer in fast.places for b in layer.lora_B.values()]
    before = [weight.detach().clone() for weight in weights]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for weight in weights:
                weight.add_(torch.randn(weight.shape, generator=generator).mul_(0.02).to(weight))
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)


@contextmanager
def _taken_out(fast: FastAdapters) -> Iterator[None]:
    inside = [getattr(parent, name) for parent, name, _ in fast.places]
    for parent, name, original in fast.places:
        setattr(parent, name, original)
    try:
        yield
    finally:
        for (parent, name, _), layer in zip(fast.places, inside, strict=True):
            setattr(parent, name, layer)


def _calls(model: nn.Module, fast: FastAdapters,
           batch: dict[str, torch.Tensor]) -> list[tuple[FastLinear, torch.Tensor, Layer | None]]:
    """Which layers a forward calls, with what, and what they compute of it; in their order."""
    calls: list[tuple[FastLinear, torch.Tensor, Layer | None]] = []

    def note(layer: FastLinear, args: tuple[torch.Tensor, ...]) -> None:
        calls.append((layer, args[0], layer.described(args[0])))

    hooks = [getattr(parent, name).register_forward_pre_hook(note) for parent, name, _ in fast.places]
    try:
        causal_lm_loss(model, batch, head_takes_positions=False, accuracy=None)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _loss_and_gradients(model: nn.Module, batch: dict[str, torch.Tensor],
                        parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    loss = causal_lm_loss(model, batch, head_takes_positions=False, accuracy=None).weighted_nll
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [loss.detach().float(), *(torch.zeros_like(parameter) if gradient is None else gradient.float()
                                     for gradient, parameter in zip(gradients, parameters, strict=True))]
