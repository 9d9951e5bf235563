# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A loaded world model and how it answers goals. Everything here runs on the worker's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
import logging
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from .errors import as_goal_errors, checked, GoalError
from .goal_reader import PlanRequest
from .settings import Settings
from ..messages.error_codes import ErrorCode
from ..messages.input_settings import Crop
from ..planning.actions import AXES, to_command
from ..planning.confidence import find_fit, Fit, read_fit, step_error
from ..planning.config import require, SearchConfig, TrustRegionConfig
from ..planning.cost import goal_energy
from ..planning.errors import PlanTimeout
from ..planning.search import energies_in_batches, Plan, plan, SearchIteration
from ..world_model.cache import find_decoder, find_weights
from ..world_model.calibration import calibrated, Calibration, read_calibration
from ..world_model.catalogue import model_spec
from ..world_model.decoder import load_decoder, PictureDecoder
from ..world_model.errors import ModelLoadError, WorldModelError
from ..world_model.geometric import CLEARANCE, GeometricWorldModel, HandCamera
from ..world_model.poses import compose, difference

log = logging.getLogger(__name__)

BOUNDS_TOLERANCE = 1e-6  # rounding of float32 bounds
FARTHEST = 1.5  # of a model's bounds: what the arm may have moved between plans to be predicted


@dataclass(frozen=True)
class Answer:
    """A plan in the convention of ROS commands, with where it leads and how long it took."""

    commands: NDArray[np.float64]  # [H, 7]
    target: NDArray[np.float64]  # state [7] after the first command
    plan: Plan
    surprise: float | None  # at what the step before led to; None = not known
    calibration: str  # that was applied, '' = none
    imagined_error: float | None  # 0..255, of the decoder; None = nothing was imagined
    encoding_time: float  # s
    optimization_time: float  # s


@dataclass(frozen=True)
class Start:
    """What a plan began from, for the next one of its run."""

    run_id: bytes
    camera: str
    context: Tensor  # [T, ...]
    states: NDArray[np.float64]  # [T, 7]
    surprises: tuple[float, ...] = ()  # at the steps of the run that led here

    def follows(self, before: Start | None) -> bool:
        """Return whether it is of the same run, seen by the same camera."""
        return (
            before is not None
            and bool(self.run_id)
            and (self.run_id, self.camera) == (before.run_id, before.camera)
        )


class LoadedModel:
    """Answers what goals ask of one world model."""

    def __init__(
        self, world_model: Any, fit: Fit | None = None, decoder: PictureDecoder | None = None
    ):
        self.world_model, self.decoder = world_model, decoder
        self._drawing_time = 0.0  # s, of two pictures
        self.fit = fit if fit is not None and fit.model == world_model.name else None
        self._last_start: Start | None = None
        # Closed loops send the same goal again and again.
        self._last_goal: tuple[Any, ...] = (None,) * 4  # picture, crop, latents, what was seen

    def warm_up(self, check_stop: Callable[[], None]) -> None:
        """Use the model once: its first calls, which compile and allocate, are slower."""
        latents = self.encode(np.zeros((256, 256, 3), np.uint8))
        if self.world_model.action_dim == 7:
            config = TrustRegionConfig(iterations=1, seed=0)
            states = np.zeros((1, 7))
            plan(self.world_model, latents[None], states, latents, config, check_stop=check_stop)
        if self.decoder is not None:
            began = time.perf_counter()
            with _drawing(lambda why: log.warning('~/imagined: %s', why)):
                self.decoder.pictures(torch.stack([latents, latents]))
            self._drawing_time = time.perf_counter() - began

    def encode(self, picture: NDArray[np.uint8], crop: Crop = '') -> Tensor:
        """Return the latents [N, D] of a picture."""
        latents: Tensor = self.world_model.encode(picture[None], crop)[0]
        return latents

    def energy(self, latents: Tensor, goal: Tensor, search: SearchConfig) -> float:
        """Return the energy between the latents [N, D] of a picture and of a goal; GoalError."""
        cost = search.cost_for(self.world_model)
        energy = goal_energy(latents[None], goal, cost).item()
        if not math.isfinite(energy):
            raise GoalError(ErrorCode.NON_FINITE_ENERGY, f'the energy is {energy}')
        return energy

    def plan(self, request: PlanRequest, report: Any) -> Answer:
        """Return the Answer of a request; see Worker.plan."""
        began = time.perf_counter()
        calibration = self._calibration(request)
        model = self._with_dynamics(request, calibration)
        context, goal, seen = self._encode(model, request, report)
        encoded = time.perf_counter()
        surprise = self._surprise(model, context, request)
        found = self._search(model, context, goal, request, report)
        searched = time.perf_counter()
        imagined_error = self._imagine(model, context, seen, found, request, report)
        start, action = (torch.as_tensor(v) for v in (request.states[-1], found.actions[0]))
        return Answer(
            commands=to_command(found.actions),
            target=compose(start, action).numpy(),
            plan=found,
            surprise=surprise,
            calibration='' if calibration is None else f'{calibration} ({calibration.source})',
            imagined_error=imagined_error,
            encoding_time=encoded - began,
            optimization_time=searched - encoded,
        )

    def _imagine(
        self,
        model: Any,
        context: Tensor,
        seen: NDArray[np.uint8],
        found: Plan,
        request: PlanRequest,
        report: Any,
    ) -> float | None:
        """
        Report what the model expects to see after the command; return the decoder's own error.

        None if there is no decoder, nobody looks, a time allowance leaves too little, or it cannot
        be drawn, which is reported.

        :param seen: what the encoder saw of the frame, uint8 [size, size, 3] RGB.
        """
        left = report.goal.time_left
        late = left is not None and left < 2.0 * self._drawing_time
        if self.decoder is None or late or not report.wants_imagined:
            return None
        began = time.perf_counter()
        with _drawing(report.not_imagined):
            latents = context[-1] if request.hand_camera is None else self.encode(seen)
            predicted = model.rollout(context, request.states, found.actions[None, :1])[0]
            both = torch.stack([predicted, latents.to(predicted)])
            imagined, drawn = self.decoder.pictures(both)
            error = float(np.abs(drawn.astype(np.float32) - seen).mean())
            report.imagined(imagined)
            self._drawing_time = time.perf_counter() - began
            return error
        return None

    def begin_energies(
        self,
        request: PlanRequest,
        commands_within: Callable[[Any], NDArray[np.float64]],
        batch: int,
        report: Any,
    ) -> tuple[int, Iterator[NDArray[np.float32]]]:
        """Return the number of steps and the iterator over batches; see Worker.energies."""
        model = self._with_dynamics(request, self._calibration(request))
        commands = checked(ErrorCode.INVALID_SETTINGS, commands_within, model.action_bounds)
        context, goal, _ = self._encode(model, request, report)
        cost = request.settings.search.cost_for(model)
        return len(commands), energies_in_batches(
            model, context, request.states, goal, commands, batch, cost
        )

    def _calibration(self, request: PlanRequest) -> Calibration | None:
        """Return the camera's calibration, read anew each time; GoalError if it is of no use."""
        path, name, camera = request.settings.calibration, self.world_model.name, request.camera
        found = checked(ErrorCode.INVALID_SETTINGS, calibration_for, request.settings)
        if found is None:
            return None
        if found.model != name or found.camera not in ('', camera):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                f"calibration = {path!r}: it is of model '{found.model}', camera "
                f"'{found.camera}': allowed: of '{name}' and '{camera}'; run calibrate for these",
            )
        return found

    def _surprise(self, model: Any, context: Tensor, request: PlanRequest) -> float | None:
        """Return how surprising the frame is after the plan before in the same run, if known."""
        before, now = (
            self._last_start,
            Start(request.run_id, request.camera, context, request.states),
        )
        self._last_start = now
        if self.fit is None or before is None or not now.follows(before):
            return None
        found = []
        made = difference(*(torch.as_tensor(start.states[-1]) for start in (before, now)))
        within = (FARTHEST * np.array(model.action_bounds) >= made.abs().numpy()).all()
        if within and request.hand_camera is None:  # a step that the model could have predicted
            error = step_error(model, before.context, before.states, context[-1], now.states[-1])
            found.append(self.fit.surprise(error))
        self._last_start = replace(now, surprises=(*before.surprises, *found))
        return found[0] if found else None

    def _with_dynamics(self, request: PlanRequest, calibration: Calibration | None) -> Any:
        """Return the model that knows where actions lead; GoalError if it is another's request."""
        if (request.hand_camera is None) != (self.world_model.action_dim == len(AXES)):
            raise GoalError(
                ErrorCode.MODEL_NOT_FOUND,
                f"model '{self.world_model.name}' took another one's place meanwhile: ask again",
            )
        if request.hand_camera is None:
            return calibrated(self.world_model, calibration)
        camera = HandCamera(*request.hand_camera)
        height = camera.height(request.states[-1])
        if not height >= CLEARANCE:
            raise GoalError(
                ErrorCode.INVALID_STATE,
                f'the camera is {height:.3f} m above plane_height = {camera.plane_height:g} m: '
                f'allowed: {CLEARANCE:g} m or more',
            )
        return GeometricWorldModel(self.world_model, camera, request.crop)

    def _encode(
        self, model: Any, request: PlanRequest, report: Any
    ) -> tuple[Tensor, Tensor, NDArray[np.uint8]]:
        """Return the context [T, ...], the goal's latents [N, D] and what is seen of the frame."""
        report.goal.check('encoding')
        report.encoding(0.0)
        goal, seen = self._encode_goal(request.picture, request.crop)
        report.goal_input(seen)
        observed = []
        for index, frame in enumerate(request.frames):
            report.encoding(0.5 + 0.5 * index / len(request.frames))
            report.goal.check('encoding')
            observed.append(model.observe(frame[None], request.crop))
        seen = self.world_model.model_input(request.frames[-1], request.crop)
        report.model_input(seen)
        report.encoding(1.0)
        return torch.cat(observed), goal, seen

    def _encode_goal(
        self, picture: NDArray[np.uint8], crop: Crop
    ) -> tuple[Tensor, NDArray[np.uint8]]:
        """Return the latents [N, D] of a goal picture and what the encoder saw of it."""
        known, known_crop, latents, seen = self._last_goal
        if known is None or crop != known_crop or not np.array_equal(known, picture):
            latents = self.encode(picture, crop)
            seen = self.world_model.model_input(picture, crop)
            self._last_goal = picture, crop, latents, seen
        return latents, seen

    def _search(
        self, model: Any, context: Tensor, goal: Tensor, request: PlanRequest, report: Any
    ) -> Plan:
        def on_iteration(iteration: SearchIteration) -> None:
            actions, mean = to_command(iteration.actions), to_command(iteration.mean)
            report.iteration(replace(iteration, actions=actions, mean=mean))

        left = report.goal.time_left
        config = request.settings.plan_config(
            time_limit=None if left is None else max(left, 1e-9), best_effort=request.best_effort
        )
        try:
            limits = np.array(config.limits_for(model.action_bounds))
            config.axes_for(model)
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_SETTINGS, f'search.{error}') from error
        try:
            found = plan(
                model,
                context,
                request.states,
                goal,
                config,
                fit=self.fit,
                surprises=() if self._last_start is None else self._last_start.surprises,
                on_iteration=on_iteration,
                check_stop=report.goal.check_stop,
            )
        except PlanTimeout as error:
            report.goal.time_out(error.progress)
        good = np.isfinite(found.actions) & (abs(found.actions) <= limits + BOUNDS_TOLERANCE)
        if not good.all():
            raise GoalError(
                ErrorCode.UNKNOWN,
                f'plan = {found.actions.tolist()}: allowed: finite numbers up to '
                f'{limits.tolist()}',
            )
        return found


@contextmanager
def _drawing(tell: Callable[[str], object]) -> Iterator[None]:
    """Tell why a picture cannot be drawn, instead of raising it: plans do not need pictures."""
    try:
        with as_goal_errors('memory ran out'):
            yield
    except GoalError as error:
        tell(f'what the model expects to see cannot be drawn: {error}')


def decoder_for(settings: Settings, world_model: Any) -> PictureDecoder | None:
    """
    Return the decoder of a loaded model; None if there is none here.

    ModelLoadError if the file that settings name is missing or wrong, ModelMemoryError if there is
    no room for it. Another one is only warned of: plans do not need it.
    """
    spec = getattr(world_model, 'spec', None)
    if spec is None:  # it came from somewhere else
        return None
    like = spec, world_model.device, world_model.dtype
    if settings.decoder:
        try:
            return load_decoder(settings.decoder, *like)
        except (ModelLoadError, OSError) as error:
            text = f"a file with a decoder of '{spec.name}': {error}"
            raise ModelLoadError(f'decoder = {settings.decoder!r}: allowed: {text}') from error
    path = None if settings.checkpoint else find_decoder(spec, settings.model_cache)
    try:
        return None if path is None else load_decoder(path, *like)
    except WorldModelError as error:
        log.warning('~/imagined stays empty: %s', error)
        return None


def calibration_for(settings: Settings) -> Calibration | None:
    """Return the Calibration that settings name, of whatever model; ValueError if it is wrong."""
    if not settings.calibration:
        return None
    try:
        return read_calibration(settings.calibration)
    except OSError as error:
        text = f'a file that `calibrate` wrote: {error}'
        raise ValueError(f'calibration = {settings.calibration!r}: allowed: {text}') from error


def fit_for(settings: Settings) -> Fit | None:
    """Return the Fit of the model that settings name; ValueError or OSError if it is wrong."""
    if settings.confidence_fit:
        try:
            fit = read_fit(settings.confidence_fit)
        except (ValueError, OSError) as error:
            text = f'a file that `validate --fit` wrote: {error.__cause__ or error}'
            raise ValueError(
                f'confidence_fit = {settings.confidence_fit!r}: allowed: {text}'
            ) from error
        require(
            fit.model == settings.model,
            'confidence_fit',
            repr(settings.confidence_fit),
            f"a fit of model '{settings.model}'; this one is of '{fit.model}'",
        )
        return fit
    try:
        spec = model_spec(settings.model)
        *_, source = find_weights(spec, settings.checkpoint, settings.model_cache)
    except WorldModelError:  # it came from somewhere else
        return None
    return find_fit(source.paths[0], spec.name)  # beside the predictor, which comes last
