# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models over ROS: load, unload and list them, and load what a plan goal asks for."""

from contextlib import contextmanager
import math
import time
import traceback

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from vjepa2_interfaces.action import LoadModel, PlanAction
from vjepa2_interfaces.msg import ModelInfo
from vjepa2_interfaces.srv import ListModels, UnloadModel

from . import parameters
from .errors import GoalError, GoalStopped
from .goal_server import GoalServer
from ..messages.error_codes import ErrorCode
from ..messages.searches import to_duration

PHASES = {
    'wait': LoadModel.Feedback.WAITING,
    'download': LoadModel.Feedback.DOWNLOADING,
    'verify': LoadModel.Feedback.VERIFYING,
    'load': LoadModel.Feedback.LOADING,
    'warm up': LoadModel.Feedback.WARMING_UP,
}
FEEDBACK_PERIOD = 0.1  # s


class ModelServer:
    """
    Decides which model is loaded, by plan goals and by services of its own.

    :param torch: returns the node's TorchThread, or None.
    """

    def __init__(self, node, torch):
        self._node, self._torch = node, torch
        self._under_way = {}  # name of a model: ModelInfo state
        self.goals = GoalServer(node, LoadModel, '~/load_model', self._on_load, describe)
        group = MutuallyExclusiveCallbackGroup()
        node.create_service(UnloadModel, '~/unload_model', self._on_unload, callback_group=group)
        node.create_service(ListModels, '~/list_models', self._on_list, callback_group=group)

    @contextmanager
    def turn(self, job, settings, deadline):
        """
        Give a plan goal the torch thread's model for as long as it wants, the one it names.

        If need be it is loaded first. A goal without a name takes what is loaded, or, if nothing
        is, the model of settings. Raises GoalError or GoalStopped; deadline on time.monotonic().
        """
        name = job.handle.request.model
        progress = _Throttle(
            lambda phase, done, total: job.handle.publish_feedback(
                PlanAction.Feedback(
                    phase=PlanAction.Feedback.LOADING_MODEL,
                    progress=(done / total if phase == 'load' else float(phase == 'warm up')),
                )
            )
        )

        def check():
            job.raise_if_stopped()
            if time.monotonic() > deadline:
                raise GoalError(
                    ErrorCode.TIMEOUT,
                    (
                        'time_allowance exceeded while the model was being loaded, after 0 '
                        'iterations'
                    ),
                )

        def wait():
            check()
            progress('wait', 0, 0)

        torch = self._torch()
        with torch.turn(wait):
            if torch.model is None or name not in ('', torch.model.name):
                try:
                    self._load(
                        torch,
                        parameters.with_model(settings, name),
                        progress,
                        lambda: job.stopped() or time.monotonic() > deadline,
                    )
                except GoalStopped:
                    check()
                    raise
            yield

    def _on_load(self, job):
        goal, began = job.handle.request, time.monotonic()
        try:
            settings = parameters.with_model(
                parameters.read(self._node), goal.name, goal.checkpoint, goal.device, goal.dtype
            )
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_SETTINGS, str(error)) from error
        progress = _Throttle(
            lambda phase, done, total: job.handle.publish_feedback(
                LoadModel.Feedback(
                    phase=PHASES[phase],
                    bytes_done=done,
                    bytes_total=total,
                    progress=done / total if total else 0.0,
                )
            )
        )
        if goal.download and not settings.checkpoint:
            self._download(settings, progress, job.stopped)
        progress('wait', 0, 0)
        torch = self._torch()
        with torch.turn(job.raise_if_stopped):
            self._load(torch, settings, progress, job.stopped, lambda: job.close() is None)
            return LoadModel.Result(
                name=torch.model.name,
                device=str(torch.model.device),
                dtype=dtype_name(torch.model),
                memory=torch.model.memory,
                load_time=to_duration(time.monotonic() - began),
            )

    def _download(self, settings, progress, should_stop):
        from ..world_model import download_weights, model_spec

        with self._marked(settings.model, ModelInfo.DOWNLOADING), _explained():
            download_weights(
                model_spec(settings.model),
                settings.model_cache or None,
                progress=progress,
                should_stop=should_stop,
            )

    def _load(self, torch, settings, *args):
        with self._marked(settings.model, ModelInfo.LOADING), _explained():
            torch.load(settings, *args)

    @contextmanager
    def _marked(self, name, state):
        self._under_way[name] = state
        try:
            yield
        finally:
            self._under_way.pop(name, None)

    def _on_unload(self, request, response):
        def refuse():
            raise GoalError(ErrorCode.UNKNOWN, 'a plan or a load is under way: cancel it first')

        torch = self._torch()
        try:
            if torch is None:
                raise GoalError(ErrorCode.UNKNOWN, 'the node is not configured')
            with torch.turn(refuse):
                if torch.model is None:
                    raise GoalError(ErrorCode.UNKNOWN, 'no model was loaded')
                response.success, response.message = True, f'{torch.model.name} is unloaded'
                torch.unload()
        except GoalError as error:
            response.message = str(error)
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            response.message = f'{type(error).__name__}: {error}'
        self._node.get_logger().info(f'unload_model: {response.message}')
        return response

    def _on_list(self, request, response):
        try:
            from ..world_model import MODELS
        except ImportError as error:  # the node stays up without torch, and says what to run
            self._node.get_logger().error(f'list_models: {error}', throttle_duration_sec=10.0)
            return response
        torch, cache = self._torch(), parameters.read(self._node).model_cache or None
        loaded = (None, None) if torch is None else (torch.model, torch.settings)
        response.models = [self._info(spec, cache, *loaded) for spec in MODELS.values()]
        return response

    def _info(self, spec, cache, model, settings):
        from ..world_model import find_weights, parameter_count, WeightsNotFoundError

        checkpoint = None
        info = ModelInfo(
            name=spec.name,
            parameters=parameter_count(spec),
            action_dim=spec.action_dim,
            licence=spec.licence,
            state=self._under_way.get(spec.name, ModelInfo.UNLOADED),
        )
        if model is not None and model.name == spec.name:
            info.state, info.device, info.dtype, info.memory = (
                ModelInfo.LOADED,
                str(model.device),
                dtype_name(model),
                model.memory,
            )
            checkpoint = settings and settings.checkpoint
        try:
            path = find_weights(spec, checkpoint, cache)
            info.on_disk, info.path, info.file_size = True, str(path), path.stat().st_size
        except WeightsNotFoundError:
            pass
        return info


class _Throttle:
    """Passes progress on, each phase at once and then every FEEDBACK_PERIOD at most."""

    def __init__(self, tell):
        self._tell, self._phase, self._next = tell, None, -math.inf

    def __call__(self, phase, done, total):
        now = time.monotonic()
        if phase != self._phase or now >= self._next or 0 < total == done:
            self._phase, self._next = phase, now + FEEDBACK_PERIOD
            self._tell(phase, done, total)


def describe(model):
    """Return what the log says of a model, or of a LoadModel Result."""
    return (
        f'{model.name} is loaded on {model.device} in {dtype_name(model)}, '
        f'{model.memory / 1e6:.0f} MB'
    )


def dtype_name(model):
    """Return the dtype of a model as the parameter has it."""
    return str(model.dtype).removeprefix('torch.')


@contextmanager
def _explained():
    """Turn what a download or a load raises into GoalError or GoalStopped."""
    from ..planning.errors import PlanCancelled
    from ..world_model import (
        LoadCancelled,
        ModelLoadError,
        ModelNotFoundError,
        WeightsNotFoundError,
    )
    from ..world_model.devices import is_out_of_memory

    try:
        yield
    except (LoadCancelled, PlanCancelled) as error:
        raise GoalStopped from error
    except WeightsNotFoundError as error:
        raise GoalError(
            ErrorCode.MODEL_LOAD_FAILED,
            (f'{error}; a goal of ~/load_model with download: true gets it too'),
        ) from error
    except ModelLoadError as error:
        raise GoalError(ErrorCode.MODEL_LOAD_FAILED, str(error)) from error
    except ModelNotFoundError as error:
        raise GoalError(ErrorCode.MODEL_NOT_FOUND, str(error)) from error
    except ValueError as error:
        raise GoalError(ErrorCode.INVALID_SETTINGS, str(error)) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise GoalError(
                ErrorCode.OUT_OF_MEMORY,
                (
                    f'{error}: free memory, for instance with ~/unload_model, or choose a smaller '
                    'model or dtype'
                ),
            ) from error
        raise
