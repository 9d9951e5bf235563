# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
CUDA graphs of calls whose kernels take less time than Python takes to launch them.

A call of given shapes is recorded the first time, which takes about three times as long, and
replayed from then on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

KEPT = 16  # graphs, the latest used; each holds on to its inputs and outputs


class Graphs:
    """
    Calls functions by way of CUDA graphs, from one thread; it tells them apart by their names.

    A function gets tensors on the GPU and returns one. It must not wait for the GPU, and what else
    it reads must stay where it is.
    """

    def __init__(self):
        self._recorded = OrderedDict()
        self._pool = None

    def __reduce__(self):
        return Graphs, ()  # a copy records for itself

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Return function(*inputs)."""
        key = function.__name__, *((some.shape, some.dtype) for some in inputs)
        if key not in self._recorded:
            self._recorded[key] = self._record(function, inputs)
            if len(self._recorded) > KEPT:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        graph, own, out = self._recorded[key]
        for mine, given in zip(own, inputs):
            mine.copy_(given)
        graph.replay()
        return out.clone()

    def _record(self, function, inputs):
        own = [some.clone() for some in inputs]
        with torch.cuda.device_of(own[0]):
            now, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(now)
            with torch.cuda.stream(aside):
                function(*own)  # what is compiled or made only once must not be recorded
            now.wait_stream(aside)
            if self._pool is None:  # memory for all of them, for one runs at a time
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            # Other threads may ask the GPU how it does meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode='thread_local'):
                out = function(*own)
        return graph, own, out
