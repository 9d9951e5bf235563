# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything the node does with torch, on one thread of its own."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
import math
import threading
import time
import traceback
import weakref

import numpy as np
import torch

from .errors import GoalError, GoalStopped
from ..error_codes import ErrorCode
from ..planning import (
    CemConfig, goal_energy, NonFiniteEnergyError, plan, PlanCancelled, PlanTimeout,
    TrustRegionConfig)
from ..planning.actions import to_command
from ..planning.landscape import energies_in_batches
from ..world_model import LoadCancelled
from ..world_model.devices import is_out_of_memory, release_memory
from ..world_model.geometric import CLEARANCE, GeometricWorldModel, HandCamera
from ..world_model.poses import compose

BOUNDS_TOLERANCE = 1e-6  # rounding of float32 bounds


@dataclass(frozen=True)
class Request:
    """What one goal asks for, as arrays."""

    goal: np.ndarray  # uint8 [H, W, 3]
    frames: tuple  # of uint8 [H, W, 3], one or more of the context, the current one last
    states: np.ndarray  # [T, 7] at the frames
    settings: object  # Settings
    allowance: float  # s, as asked for; 0 = none
    deadline: float  # the same on time.monotonic(); inf = none
    best_effort: bool  # at the deadline, the plan so far instead of an error
    camera: tuple = None  # of a HandCamera; None where the model itself knows how things move


@dataclass(frozen=True)
class Answer:
    """A plan in the convention of ROS commands, with where it leads and how long it took."""

    commands: np.ndarray  # [H, 7]
    target: np.ndarray  # state [7] after the first command
    plan: object  # planning.Plan
    encoding_time: float  # s
    optimization_time: float  # s


class TorchThread:
    """
    Owner of the world model.

    CUDA graphs and compiled modules belong to the thread that made them, and the executor's
    callbacks hop between threads; so every call runs on the one thread made here.

    Who plans with the model or exchanges it does so in a turn of his own.
    """

    def __init__(self, load_model):
        self._load_model = load_model
        self._pool = ThreadPoolExecutor(1, thread_name_prefix='torch')
        self._busy = threading.Event()
        self._turn = threading.Lock()
        self._model = None
        self._settings = None  # that the model was loaded with
        self._last_goal = (None, None)  # closed loops send the same picture again and again

    @property
    def busy(self):
        """Return whether torch is at work."""
        return self._busy.is_set()

    @property
    def model(self):
        """Return the loaded world model or None; for its name, device and dtype."""
        return self._model

    @property
    def settings(self):
        """Return the Settings that the model was loaded with, or None."""
        return self._settings

    @contextmanager
    def turn(self, check):
        """Wait until nobody else has the model; meanwhile check() is called, and may raise."""
        while not self._turn.acquire(timeout=0.05):
            check()
        try:
            yield
        finally:
            self._turn.release()

    def load(self, settings, progress=None, should_stop=None, may_switch=None):
        """
        Load and warm up the model that settings name, then let go of the one before.

        The one before stays if that fails or is stopped. Raises what loading raises.

        :param progress: called with the phase ('verify', 'load', 'warm up'), bytes done, in all.
        :param should_stop: polled often; true ends it with LoadCancelled or PlanCancelled.
        :param may_switch: asked once when the new one is ready; false ends it in the same way.
        """
        self._call(self._load, settings, progress or (lambda phase, done, total: None),
                   should_stop or (lambda: False), may_switch or (lambda: True))

    def unload(self):
        """Forget the model and give its memory back."""
        self._call(self._unload)

    def plan(self, request: Request, report) -> Answer:
        """
        Answer a request; report is told of the progress.

        report has encoding(share), goal_input(rgb), model_input(rgb), iteration(CemIteration in
        command convention), stopped() and raise_if_stopped(). GoalError or GoalStopped if there
        is no plan.
        """
        return self._call(self._answered, self._encode_and_plan, request, report)

    def energies(self, request: Request, commands_within, batch, report) -> np.ndarray:
        """
        Return the energies, float32 [P], of single steps from where a request starts.

        Each batch is a call of its own: a plan that is asked for meanwhile waits for one.

        :param commands_within: returns the steps [P, 7], command convention, for the model's
            bounds [7]; a ValueError of it is an INVALID_SETTINGS.
        :param report: as in plan, with evaluated(share) instead of iteration.
        """
        energies = []
        model, total, batches = self._call(
            self._answered, self._begin_energies, request, commands_within, batch, report)
        while sum(map(len, energies)) < total:
            energies.append(
                self._call(self._answered, self._next_energies, model, batches, report))
            report.evaluated(sum(map(len, energies)) / total)
        return np.concatenate(energies)

    def energy(self, goal, picture):
        """
        Return the energy between a goal and a picture, uint8 [H, W, 3] RGB, and the model's name.

        They are encoded in calls of their own: a plan that begins meanwhile waits for one of them.
        GoalError if there is no energy.
        """
        return self._call(self._energy, picture, *self._call(self._latents, goal))

    def close(self):
        """Stop the thread after what it does now."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _call(self, function, *args):
        return self._pool.submit(self._run, function, *args).result()

    def _run(self, function, *args):
        self._busy.set()
        try:
            return function(*args)
        finally:
            self._busy.clear()

    def _load(self, settings, progress, should_stop, may_switch):
        try:
            self._model = self._ready_model(settings, progress, should_stop, may_switch)
            self._settings, self._last_goal = settings, (None, None)
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold what was loaded
            raise
        finally:
            release_memory()

    def _ready_model(self, settings, progress, should_stop, may_switch):
        model = self._load_model(
            settings.model, device=settings.device, dtype=settings.dtype,
            checkpoint=settings.checkpoint or None, cache=settings.model_cache or None,
            progress=progress, should_stop=should_stop)
        # The first calls compile kernels and reserve memory: not while a robot waits.
        progress('warm up', 0, 0)
        frame = np.zeros((256, 256, 3), np.uint8)
        latents = model.encode(frame[None])
        if model.action_dim == 7:
            plan(model, latents, np.zeros((1, 7)), latents[0],
                 CemConfig(samples=16, iterations=1, elite_fraction=0.5, seed=0),
                 should_stop=should_stop)
        if should_stop() or not may_switch():
            raise LoadCancelled(f"loading model '{settings.model}' was stopped")
        return model

    def _unload(self):
        self._model, self._settings, self._last_goal = None, None, (None, None)
        release_memory()

    def _answered(self, function, *args):
        """Call a function for a goal; raise GoalError or GoalStopped whatever it raises."""
        try:
            return function(*args)
        except (GoalError, GoalStopped):
            raise
        except PlanCancelled as error:
            raise GoalStopped from error
        except Exception as error:
            raise _goal_error(error, self._model) from error

    def _latents(self, picture):
        """Return the latents [N, D] of a picture and the model, weakly: it may be let go of."""
        if self._model is None:
            raise GoalError(ErrorCode.NODE_DEACTIVATED, 'no model is loaded')
        try:
            return self._model.encode(picture[None])[0], weakref.ref(self._model)
        except Exception as error:
            raise _goal_error(error, self._model) from error

    def _energy(self, picture, target, model):
        latents, now = self._latents(picture)
        if now() is not model():
            raise GoalError(ErrorCode.UNKNOWN, 'the model was exchanged meanwhile: ask again')
        energy = goal_energy(latents[None], target).item()
        if not math.isfinite(energy):
            raise GoalError(ErrorCode.NON_FINITE_ENERGY, f'the energy is {energy}')
        return energy, self._model.name

    def _encode_and_plan(self, request, report):
        began = time.perf_counter()
        model = self._moving(request)
        context, goal = self._encode(model, request, report)
        encoded = time.perf_counter()
        found = self._search(model, context, goal, request, report)
        commands = to_command(found.actions)
        target = compose(torch.as_tensor(request.states[-1]), torch.as_tensor(found.actions[0]))
        return Answer(commands, target.numpy(), found, encoded - began,
                      time.perf_counter() - encoded)

    def _begin_energies(self, request, commands_within, batch, report):
        """Return the model, the number of steps, and the iterator over batches of energies."""
        model = self._moving(request)
        try:
            commands = commands_within(model.action_bounds)
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_SETTINGS, str(error)) from error
        context, goal = self._encode(model, request, report)
        return self._model, len(commands), energies_in_batches(
            model, context, request.states, goal, commands, batch)

    def _next_energies(self, model, batches, report):
        report.raise_if_stopped()
        if model is not self._model:
            raise GoalError(ErrorCode.MODEL_NOT_FOUND,
                            f"model '{model.name}' was replaced meanwhile; ask again")
        return next(batches)

    def _encode(self, model, request, report):
        """Return the context [T, ...] and the goal's latents [N, D]."""
        report.raise_if_stopped()
        report.encoding(0.0)
        goal = self._encode_goal(request.goal)
        report.goal_input(self._model.model_input(request.goal))
        report.raise_if_stopped()
        report.encoding(0.5)
        context = torch.cat([model.observe(frame[None]) for frame in request.frames])
        report.model_input(self._model.model_input(request.frames[-1]))
        report.encoding(1.0)
        return context, goal

    def _moving(self, request):
        """Return the model that knows where actions lead."""
        if request.camera is None:
            return self._model
        camera = HandCamera(*request.camera)
        height = camera.height(request.states[-1])
        if not height >= CLEARANCE:
            raise GoalError(ErrorCode.INVALID_STATE, (
                f'the camera is {height:.3f} m above plane_height = {camera.plane_height:g} m: '
                f'allowed: {CLEARANCE:g} m or more'))
        return GeometricWorldModel(self._model, camera)

    def _encode_goal(self, picture):
        known, latents = self._last_goal
        if known is None or not np.array_equal(known, picture):
            latents = self._model.encode(picture[None])[0]
            self._last_goal = picture, latents
        return latents

    def _search(self, model, context, goal, request, report):
        done = 0

        def on_iteration(iteration):
            nonlocal done
            done = iteration.iteration
            report.iteration(replace(iteration, actions=to_command(iteration.actions),
                                     mean=to_command(iteration.mean)))

        left = request.deadline - time.monotonic()
        try:
            config = plan_config(request.settings, model.action_bounds,
                                 None if math.isinf(left) else max(left, 1e-9),
                                 request.best_effort)
            bounds = np.array(config.bounds_for(model.action_bounds))
            config.axes_for(model.action_bounds)
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_SETTINGS, f'cem.{error}') from error
        try:
            found = plan(model, context, request.states, goal, config,
                         on_iteration=on_iteration, should_stop=report.stopped)
        except PlanTimeout as error:
            raise GoalError(ErrorCode.TIMEOUT, (
                f'time_allowance = {request.allowance:g} s exceeded after {done} of '
                f'{config.iterations} iterations')) from error
        if not (np.isfinite(found.actions).all()
                and (abs(found.actions) <= bounds + BOUNDS_TOLERANCE).all()):
            raise GoalError(ErrorCode.UNKNOWN, (
                f'plan = {found.actions.tolist()}: allowed: finite numbers up to '
                f'{bounds.tolist()}'))
        return found


def plan_config(settings, action_bounds, time_limit, best_effort):
    """Return the optimizer's config of parameters; a bound of zero is the model's."""
    bounds = tuple(bound or own for bound, own in zip(settings.cem_bounds, action_bounds))
    common = {
        'samples': settings.samples, 'iterations': settings.iterations,
        'horizon': settings.cem_horizon, 'bounds': bounds if any(settings.cem_bounds) else None,
        'search': settings.cem_search, 'gripper_deadband': settings.cem_gripper_deadband,
        'seed': None if settings.cem_seed < 0 else settings.cem_seed, 'time_limit': time_limit,
        'best_effort': best_effort}
    if settings.optimizer == 'trust_region':
        return TrustRegionConfig(**common)
    return CemConfig(
        elite_fraction=settings.cem_elite_fraction, momentum_mean=settings.cem_momentum_mean,
        momentum_std=settings.cem_momentum_std, include_mean=settings.cem_include_mean,
        keep_elites=settings.cem_keep_elites, **common)


def _goal_error(error, model):
    """Return the GoalError that an exception from below means."""
    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled it
        release_memory()
        return GoalError(ErrorCode.OUT_OF_MEMORY, (
            f'memory of {model.device} ran out: lower cem.samples or cem.horizon, or use a '
            f'smaller model or dtype ({error})'))
    if isinstance(error, NonFiniteEnergyError):
        return GoalError(ErrorCode.NON_FINITE_ENERGY, str(error))
    return GoalError(ErrorCode.UNKNOWN, f'{type(error).__name__}: {error}')
