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
import logging
from typing import Any

import torch
from torch import Tensor

from ..model import VJepa2WorldModel

log = logging.getLogger(__name__)
GRAPHED = 512 << 20  # bytes: what takes more keeps a GPU busy while Python launches what follows
KEPT = 16  # graphs, the latest used; each holds on to its inputs and outputs


class GraphedWorldModel(VJepa2WorldModel):
    """A world model on CUDA whose short calls are CUDA graphs; for one thread only."""

    def __init__(self, model: VJepa2WorldModel):
        super().__init__(model.spec, model.encoder, model.predictor)
        self.graphs: Graphs | None = Graphs()

    def drop_weights(self) -> None:
        """Free the weights and the graphs that use them."""
        super().drop_weights()
        self.graphs = None

    def _encode(self, images: Tensor) -> Tensor:
        return self._run(super()._encode, len(images) * self.picture_bytes(), images)

    def _past(self, context: Tensor, states: Tensor) -> Tensor:
        needed = self.candidate_bytes(len(context), 1)
        return self._run(super()._past, needed, context, states)

    def _predict(
        self, context: Tensor, states: Tensor, actions: Tensor, past: Tensor | None
    ) -> Tensor:
        needed = len(actions) * self.candidate_bytes(len(context), actions.shape[1])
        return self._run(super()._predict, needed, context, states, actions, past)

    def _run(self, function: Callable[..., Tensor], needed: int, *inputs: Tensor | None) -> Tensor:
        """Return function(*inputs), by a graph if it needs few bytes."""
        if self.graphs is not None and needed <= GRAPHED:
            try:
                return self.graphs(function, *inputs)
            except RuntimeError as error:
                log.warning('CUDA graphs are not used any more: %s', error)
                self.graphs = None
        return function(*inputs)


class Graphs:
    """
    Calls functions by way of CUDA graphs, from one thread; it tells them apart by their names.

    A function gets tensors on the GPU, or None, and returns a tensor. It must not wait for the
    GPU, and what else it reads must stay where it is.
    """

    def __init__(self) -> None:
        self._recorded: OrderedDict[tuple[object, ...], Recording] = OrderedDict()
        self._pool: Any = None  # memory for all of them: one runs at a time

    def __len__(self) -> int:
        return len(self._recorded)

    def __reduce__(self) -> tuple[type[Graphs], tuple[()]]:
        return Graphs, ()  # a copy records for itself

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Return function(*inputs)."""
        key = (function.__name__, *(None if x is None else (x.shape, x.dtype) for x in inputs))
        if key not in self._recorded:
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            self._recorded[key] = Recording(function, inputs, self._pool)
            if len(self._recorded) > KEPT:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        return self._recorded[key].replay(inputs)


class Recording:
    """One call as a CUDA graph, with the tensors that it reads from and writes to."""

    def __init__(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor | None, ...], pool: Any
    ):
        self._inputs = [None if x is None else x.clone() for x in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device_of(next(x for x in inputs if x is not None)):
            current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(current)
            with torch.cuda.stream(aside):
                function(*self._inputs)  # what is compiled or made only once is not recorded
            current.wait_stream(aside)
            # Other threads may ask the GPU for its state meanwhile.
            with torch.cuda.graph(self._graph, pool=pool, capture_error_mode='thread_local'):
                self._output = function(*self._inputs)

    def replay(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        """Return the function's result for other inputs of the same shapes."""
        for own, given in zip(self._inputs, inputs):
            if own is not None and given is not None:
                own.copy_(given)
        self._graph.replay()
        return self._output.clone()
