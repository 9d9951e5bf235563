# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time encoding, rollouts and whole plans of one model, beside the peer."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from tools.benchmark import peer
from tools.benchmark.timing import in_turn, seconds
import torch
from torch import multiprocessing, Tensor
from vjepa2_planner_ros.planning.config import CemConfig, TrustRegionConfig
from vjepa2_planner_ros.planning.search import plan
from vjepa2_planner_ros.world_model import (
    build_networks,
    load_world_model,
    MODELS,
    ModelSpec,
    VJepa2WorldModel,
)
from vjepa2_planner_ros.world_model.acceleration import accelerate
from vjepa2_planner_ros.world_model.devices import pick_dtype
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize

PEER = 'peer'


@dataclass(frozen=True)
class Size:
    """A model, and how much of it is timed on a CPU; a GPU takes more candidates."""

    spec: ModelSpec
    samples: tuple[int, ...]
    shapes_at: int  # candidates while horizon and context vary
    plans: tuple[tuple[int, int, int], ...]  # samples, iterations, horizon


SMALL = ModelSpec(
    name='small (ViT-S at 256 pixels, random weights)',
    encoder=EncoderSize(384, 12, 6, 1536),
    predictor=PredictorSize(384, 12, 6, 1536),
    image_size=256,
    crop='center_square',
    action_bounds=MODELS['vit-giant-ac'].action_bounds,
)
SIZES = {
    'sim': Size(
        MODELS['sim-panda-ac'], (1, 16, 64, 250), 64, ((500, 5, 1), (100, 2, 2), (100, 2, 4))
    ),
    'small': Size(SMALL, (1, 2, 4, 8), 4, ((8, 2, 1), (8, 2, 2))),
    'vit-giant-ac': Size(MODELS['vit-giant-ac'], (1, 2), 1, ((2, 1, 1),)),
}
GPU_SAMPLES, GPU_SHAPES_AT, GPU_PLANS = (1, 16, 100, 400, 800), 64, ((800, 10, 1), (100, 2, 2))
HORIZONS = CONTEXTS = (1, 2, 4)


def size_for(name: str, device: torch.device) -> Size:
    """Return a size with as many candidates as suit a device."""
    size = SIZES[name]
    if device.type == 'cpu':
        return size
    return replace(size, samples=GPU_SAMPLES, shapes_at=GPU_SHAPES_AT, plans=GPU_PLANS)


def peak_memory(size: Size, device: torch.device) -> int:
    """Return the most bytes of a GPU that PyTorch holds for the first of the plans alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as own:
        return own.submit(_peak_memory, size, device).result()


def _peak_memory(size, device):
    model = load(size.spec, device, pick_dtype('auto', device))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    samples, iterations, horizon = size.plans[0]
    picture = np.zeros((1, 480, 640, 3), np.uint8)
    plan(
        model,
        model.encode(picture),
        np.zeros((1, 7)),
        model.encode(picture)[0],
        CemConfig(samples=samples, iterations=iterations, horizon=horizon),
    )
    return torch.cuda.max_memory_reserved(device)


def load(spec: ModelSpec, device: torch.device, dtype=torch.float32) -> VJepa2WorldModel:
    """Return a model with its shipped weights, or random ones where there are none."""
    if spec.weights is not None:
        loaded = load_world_model(spec.name, device=str(device), dtype=name(dtype))
        networks = loaded.encoder, loaded.predictor
    else:
        torch.manual_seed(0)
        networks = (network.to(dtype) for network in build_networks(spec, device))
    model = VJepa2WorldModel(spec, *networks)
    return accelerate(model) if device.type == 'cuda' else model


class Contest:
    """The same model in float32, in the dtype that 'auto' picks, and as the peer drives it."""

    def __init__(self, size: Size, device: torch.device):
        self.size, self.device = size, device
        # States go to the networks as they are, to both alike.
        spec = replace(size.spec, reference_rotation=None)
        fast = pick_dtype('auto', self.device)
        full = load(spec, device)
        self.ours = {torch.float32: full}
        if fast != torch.float32:
            self.ours[fast] = load(spec, device, fast)
        self.peer = peer.PeerProcess(full, torch.get_num_threads()) if peer.available() else None
        rng = np.random.default_rng(0)
        self.frames = rng.integers(0, 256, (max(CONTEXTS) + 1, 480, 640, 3), dtype=np.uint8)
        self.states = rng.uniform(0.1, 0.4, (max(CONTEXTS), 7))

    def _in_turn(self, ours, theirs=None, **limits):
        """Return the Times of ours(world model) and of theirs(Peer), which can be pickled."""
        calls = {
            name(dtype): partial(seconds, partial(ours, model), self.device)
            for dtype, model in self.ours.items()
        }
        if self.peer and theirs:
            calls[PEER] = partial(self.peer.seconds, theirs)
        return in_turn(calls, **limits)

    def close(self) -> None:
        """End the peer's process."""
        if self.peer is not None:
            self.peer.close()

    def encode(self) -> list[dict]:
        """Time encoding one picture of 640x480, from uint8 in host memory to latents."""
        frame = self.frames[:1]
        times = self._in_turn(
            lambda model: model.encode(frame), partial(peer.Peer.encode, frames=frame)
        )
        return _rows(times, {})

    def rollouts(self) -> list[dict]:
        """Time rollouts over samples, over horizons and over contexts."""
        at = self.size.shapes_at
        shapes = dict.fromkeys(
            [
                *((samples, 1, 1) for samples in self.size.samples),
                *((at, horizon, 1) for horizon in HORIZONS),
                *((at, 1, context) for context in CONTEXTS),
            ]
        )
        return [row for shape in shapes for row in self._rollout(*shape)]

    def _rollout(self, samples, horizon, context) -> list[dict]:
        latents = {model: model.encode(self.frames[:context]) for model in self.ours.values()}
        known = latents[self.ours[torch.float32]].cpu()
        states, actions = self.states[:context], self._actions(samples, horizon)
        times = self._in_turn(
            lambda model: model.rollout(latents[model], states, actions),
            partial(peer.Peer.rollout, context=known, states=states, actions=actions),
        )
        return _rows(times, {'samples': samples, 'horizon': horizon, 'context': context})

    def _actions(self, samples, horizon) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        bounds = torch.tensor(self.size.spec.action_bounds)
        return bounds * (2 * torch.rand(samples, horizon, 7, generator=generator) - 1)

    def plans(self) -> list[dict]:
        """Time whole plans, two pictures encoded in each, and compare the elites."""
        return [row for shape in self.size.plans for row in self._plan(*shape)]

    def _plan(self, samples, iterations, horizon) -> list[dict]:
        bounds = self.size.spec.action_bounds
        searched = tuple(b if i < 3 or i == 6 else 0.0 for i, b in enumerate(bounds))
        config = CemConfig(
            samples=samples,
            iterations=iterations,
            horizon=horizon,
            seed=0,
            bounds=searched,
            include_mean=False,
        )
        frame, goal, states, elites = *self._pictures, self.states[:1], {}

        def ours(model, config=config):
            found = elites[name(model.dtype)] = []
            plan(
                model,
                model.encode(frame),
                states,
                model.encode(goal)[0],
                config,
                on_iteration=lambda iteration: found.append(iteration.elites),
            )

        for model in self.ours.values():  # what is made at the first sight of a shape
            ours(model, replace(config, iterations=1))

        theirs = partial(
            peer.Peer.plan,
            frame=frame,
            states=states,
            goal=goal,
            samples=samples,
            iterations=iterations,
            topk=config.elites,
            horizon=horizon,
            seed=0,
        )
        times = self._in_turn(ours, theirs, repeats=3, warm_up=False)
        rows = _rows(times, {'samples': samples, 'iterations': iterations, 'horizon': horizon})
        if self.peer is None:
            return rows
        elites[PEER] = self.peer.elites()
        for row in rows:
            row['same_elites'] = sum(
                set(map(int, found)) == set(map(int, expected))
                for found, expected in zip(elites[row['who']], elites[PEER])
            )
        return rows

    @property
    def _pictures(self):
        """Return the frame and the goal of plans, each [1, H, W, 3]."""
        return self.frames[:1], self.frames[-1:]

    def region_plans(self) -> list[dict]:
        """Time plans of the trust region, two pictures encoded in each; the peer has none."""
        config = TrustRegionConfig(seed=0)
        frame, goal = self._pictures
        times = self._in_turn(
            lambda model: plan(
                model, model.encode(frame), self.states[:1], model.encode(goal)[0], config
            )
        )
        return _rows(
            times, {'samples': config.samples, 'iterations': config.iterations, 'horizon': 1}
        )


def name(dtype: torch.dtype) -> str:
    """Return the short name of a dtype."""
    return str(dtype).removeprefix('torch.')


def _rows(times, shape) -> list[dict]:
    """Return a row for each of the contestants."""
    return [
        {
            'who': who,
            **shape,
            **asdict(taken),
            'peer_ratio': times[PEER].median / taken.median if PEER in times else None,
        }
        for who, taken in times.items()
    ]
