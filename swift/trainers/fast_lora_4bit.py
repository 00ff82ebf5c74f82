"""The fast LoRA layer on a 4-bit layer of bitsandbytes; imported only where one is met."""

from __future__ import annotations

import functools

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import QuantState, dequantize_4bit
from peft.tuners.lora.bnb import Linear4bit

from swift.kernels.lora_linear import Layer
from swift.trainers.fast_lora import adapters_of, fast_forward, is_plain


class FastLinear4bit(Linear4bit):
    """As :class:`peft.tuners.lora.bnb.Linear4bit`; ``original`` is one, whose state it shares."""

    def __init__(self, original: Linear4bit) -> None:
        object.__setattr__(self, '__dict__', original.__dict__)

    def forward(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        # without a gradient bitsandbytes has kernels that multiply packed weights
        y = fast_forward(self, x) if torch.is_grad_enabled() and not (args or kwargs) else None
        return super().forward(x, *args, **kwargs) if y is None else y

    def described(self, x: torch.Tensor) -> Layer | None:
        """As that of :class:`swift.trainers.fast_lora.FastLinear`: where all is computed in the dtype of ``x``."""
        base, adapters = self.base_layer, adapters_of(self)
        if adapters is None or not is_plain(base, bnb.nn.Linear4bit) or not base.compute_type_is_set:
            return None
        state: QuantState | None = base.weight.quant_state
        if state is None or base.compute_dtype != x.dtype or vars(state).get('packing_format_for_cpu'):
            return None  # lost by a wrapper, to be cast, or packed another way for a CPU
        device = x.device.type
        if torch.is_autocast_enabled(device):
            if torch.get_autocast_dtype(device) != x.dtype:
                return None
        elif any(adapter.a.dtype != x.dtype for adapter in adapters):
            return None
        bias = None if base.bias is None else base.bias.to(x.dtype)
        return Layer(functools.partial(_dense, base.weight.data, state), adapters, bias)


def _dense(packed: torch.Tensor, state: QuantState, dtype: torch.dtype) -> torch.Tensor:
    return dequantize_4bit(packed, state).to(dtype)
