"""Counts the memory of tensors that are alive."""

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Notes the memory of all tensors made under it that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self._known[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._known = {key: (alive, size) for key, (alive, size) in self._known.items() if not alive.expired()}
        self.peak = max(self.peak, sum(size for _, size in self._known.values()))
        return result
