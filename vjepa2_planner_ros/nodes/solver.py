# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What goals ask of a world model. Everything here runs on the torch thread."""

from dataclasses import dataclass, replace
import math
import time
import traceback

import numpy as np
import torch

from .errors import GoalError
from ..messages.error_codes import ErrorCode
from ..planning.actions import to_command
from ..planning.config import CemConfig, TrustRegionConfig
from ..planning.errors import NonFiniteEnergyError, PlanTimeout
from ..planning.search import energies_in_batches, plan
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


class Solver:
    """Answers what goals ask of one loaded world model."""

    def __init__(self, model):
        self.model = model
        # Picture, latents, what the encoder saw: closed loops send the same goal again and again.
        self._last_goal = (None, None, None)

    def plan(self, request: Request, report) -> Answer:
        """Return the Answer of a request; see TorchThread.plan."""
        began = time.perf_counter()
        model = self._moving(request)
        context, goal = self._encode(model, request, report)
        encoded = time.perf_counter()
        found = self._search(model, context, goal, request, report)
        commands = to_command(found.actions)
        target = compose(torch.as_tensor(request.states[-1]), torch.as_tensor(found.actions[0]))
        return Answer(
            commands, target.numpy(), found, encoded - began, time.perf_counter() - encoded
        )

    def begin_energies(self, request: Request, commands_within, batch, report):
        """Return the number of steps and the iterator over batches; see TorchThread.energies."""
        model = self._moving(request)
        try:
            commands = commands_within(model.action_bounds)
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_SETTINGS, str(error)) from error
        context, goal = self._encode(model, request, report)
        return len(commands), energies_in_batches(
            model, context, request.states, goal, commands, batch
        )

    def _encode(self, model, request, report):
        """Return the context [T, ...] and the goal's latents [N, D]."""
        report.raise_if_stopped()
        report.encoding(0.0)
        goal, shown = self._encode_goal(request.goal)
        report.goal_input(shown)
        observed = []
        for index, frame in enumerate(request.frames):
            report.encoding(0.5 + 0.5 * index / len(request.frames))
            self._check(request, report)
            observed.append(model.observe(frame[None]))
        context = torch.cat(observed)
        report.model_input(self.model.model_input(request.frames[-1]))
        report.encoding(1.0)
        return context, goal

    def _check(self, request, report):
        """Raise GoalStopped or, after the deadline, GoalError TIMEOUT."""
        report.raise_if_stopped()
        if time.monotonic() > request.deadline:
            raise GoalError(
                ErrorCode.TIMEOUT,
                (
                    f'time_allowance = {request.allowance:g} s exceeded while encoding, after 0 '
                    f'of {request.settings.iterations} iterations'
                ),
            )

    def _moving(self, request):
        """Return the model that knows where actions lead."""
        if request.camera is None:
            return self.model
        camera = HandCamera(*request.camera)
        height = camera.height(request.states[-1])
        if not height >= CLEARANCE:
            raise GoalError(
                ErrorCode.INVALID_STATE,
                (
                    f'the camera is {height:.3f} m above plane_height = {camera.plane_height:g} '
                    f'm: allowed: {CLEARANCE:g} m or more'
                ),
            )
        return GeometricWorldModel(self.model, camera)

    def _encode_goal(self, picture):
        """Return the latents [N, D] of a goal picture and what the encoder saw of it."""
        known, latents, shown = self._last_goal
        if known is None or not np.array_equal(known, picture):
            latents, shown = self.model.encode(picture[None])[0], self.model.model_input(picture)
            self._last_goal = picture, latents, shown
        return latents, shown

    def _search(self, model, context, goal, request, report):
        done = 0

        def on_iteration(iteration):
            nonlocal done
            done = iteration.iteration
            report.iteration(
                replace(
                    iteration,
                    actions=to_command(iteration.actions),
                    mean=to_command(iteration.mean),
                )
            )

        left = request.deadline - time.monotonic()
        try:
            config = plan_config(
                request.settings,
                model.action_bounds,
                None if math.isinf(left) else max(left, 1e-9),
                request.best_effort,
            )
            bounds = np.array(config.bounds_for(model.action_bounds))
            config.axes_for(model.action_bounds)
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_SETTINGS, f'search.{error}') from error
        try:
            found = plan(
                model,
                context,
                request.states,
                goal,
                config,
                on_iteration=on_iteration,
                should_stop=report.stopped,
            )
        except PlanTimeout as error:
            raise GoalError(
                ErrorCode.TIMEOUT,
                (
                    f'time_allowance = {request.allowance:g} s exceeded after {done} of '
                    f'{config.iterations} iterations'
                ),
            ) from error
        if not (
            np.isfinite(found.actions).all()
            and (abs(found.actions) <= bounds + BOUNDS_TOLERANCE).all()
        ):
            raise GoalError(
                ErrorCode.UNKNOWN,
                (
                    f'plan = {found.actions.tolist()}: allowed: finite numbers up to '
                    f'{bounds.tolist()}'
                ),
            )
        return found


def plan_config(settings, action_bounds, time_limit, best_effort):
    """Return the optimizer's config of parameters; a bound of zero is the model's."""
    bounds = tuple(bound or own for bound, own in zip(settings.search_bounds, action_bounds))
    common = {
        'samples': settings.samples,
        'iterations': settings.iterations,
        'horizon': settings.search_horizon,
        'bounds': bounds if any(settings.search_bounds) else None,
        'axes': settings.search_axes,
        'gripper_deadband': settings.search_gripper_deadband,
        'seed': None if settings.search_seed < 0 else settings.search_seed,
        'time_limit': time_limit,
        'best_effort': best_effort,
    }
    if settings.optimizer == 'trust_region':
        return TrustRegionConfig(**common)
    return CemConfig(
        elite_fraction=settings.cem_elite_fraction,
        momentum_mean=settings.cem_momentum_mean,
        momentum_std=settings.cem_momentum_std,
        include_mean=settings.cem_include_mean,
        keep_elites=settings.cem_keep_elites,
        **common,
    )


def goal_error(error, model):
    """Return the GoalError that an exception from below means."""
    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled it
        release_memory()
        return GoalError(
            ErrorCode.OUT_OF_MEMORY,
            (
                f'memory of {model.device} ran out: lower cem.samples or search.horizon, or use a '
                f'smaller model or dtype ({error})'
            ),
        )
    if isinstance(error, NonFiniteEnergyError):
        return GoalError(ErrorCode.NON_FINITE_ENERGY, str(error))
    return GoalError(ErrorCode.UNKNOWN, f'{type(error).__name__}: {error}')
