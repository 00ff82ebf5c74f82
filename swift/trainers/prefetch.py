"""The micro-batches of the next step, made by a thread while this one is computed. It knows nothing of batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch


class Prefetcher(Iterator[Any]):
    """The items of ``source`` in their order, at most ``ahead`` of them made before they are asked for.

    One thread reads, so order and content are those of ``source``. What ``source`` raises is raised to who asks, when
    it is that item's turn. A run may stop at any item: :meth:`close` ends the thread; what it had read ahead is
    forgotten.

    Args:
        source: only the thread may use it from now on.
        ahead: items.
        device: the accelerator of this process, for which the thread may pin memory; CUDA knows it a thread.
    """

    def __init__(self, source: Iterator[Any], *, ahead: int, device: torch.device) -> None:
        self.source = source
        self._ahead = ahead
        self._device = device
        self._ready: deque[Any] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name='swift-prefetch', daemon=True)
        self._thread.start()

    def __next__(self) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """End the thread after the item that it is making; asking for more gives nothing."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _has_room(self) -> bool:
        """Wait until there is room for one more; False when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._ahead)
            return not self._closed

    def _read(self) -> None:
        try:
            if self._device.type != 'cpu' and self._device.index is not None:
                torch.accelerator.set_device_index(self._device.index)
            while self._has_room():
                item = next(self.source)
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
        except StopIteration:
            pass
        except BaseException as e:  # raised again by __next__
            self._error = e
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
