# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models over ROS: load, unload and list them, and load what a plan goal asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import math
import time
from typing import Any, TYPE_CHECKING

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from vjepa2_interfaces.action import LoadModel, PlanAction
from vjepa2_interfaces.msg import ModelInfo
from vjepa2_interfaces.srv import ListModels, UnloadModel

from . import parameters
from .action_server import GoalServer
from .errors import as_goal_errors, checked, GoalError
from .goal import Goal
from .services import serve
from .settings import Settings, with_model
from .worker import Worker
from ..messages.error_codes import ErrorCode
from ..messages.texts import dtype_name
from ..messages.times import to_duration

if TYPE_CHECKING:  # it needs torch
    from .loaded_model import LoadedModel

Progress = Callable[[str, int, int], None]  # phase, bytes done, bytes in all

PHASES = {
    'wait': LoadModel.Feedback.WAITING,
    'download': LoadModel.Feedback.DOWNLOADING,
    'verify': LoadModel.Feedback.VERIFYING,
    'load': LoadModel.Feedback.LOADING,
    'warm up': LoadModel.Feedback.WARMING_UP,
}
FEEDBACK_PERIOD = 0.1  # s
OUT_OF_MEMORY = (
    'memory ran out: free memory, for instance with ~/unload_model, or choose a smaller model or '
    'dtype'
)


class ModelServer:
    """
    Decides which model is loaded: what plan goals, ~/load_model and ~/unload_model ask for.

    Requests that name no model get the chosen one: that of the parameters at the last
    configure, or of the last ~/load_model; after an unload, that of the parameters of then.
    """

    def __init__(self, node: Node, worker: Worker):
        self._node, self._worker = node, worker
        self._chosen: Settings | None = None  # None = the parameters'
        self._under_way: dict[str, int] = {}  # name of a model: ModelInfo state
        self.goals = GoalServer(node, LoadModel, '~/load_model', self._on_load, describe)
        group = MutuallyExclusiveCallbackGroup()
        serve(node, UnloadModel, '~/unload_model', self._on_unload, group)
        serve(node, ListModels, '~/list_models', self._on_list, group)

    @contextmanager
    def turn(self, goal: Goal, settings: Settings) -> Iterator[None]:
        """
        Give a plan goal the worker's model: the one that it names, or the chosen one.

        It is loaded first if another one is. Raises GoalError or GoalStopped.
        """
        progress = _Throttle(
            lambda phase, done, total: goal.handle.publish_feedback(
                PlanAction.Feedback(
                    phase=PlanAction.Feedback.LOADING_MODEL,
                    progress=done / total if phase == 'load' else float(phase == 'warm up'),
                )
            )
        )

        def check() -> None:
            goal.check('the model was being loaded')

        def wait() -> None:
            check()
            progress('wait', 0, 0)

        with self._worker.turn(wait):
            chosen, loaded = self._chosen or settings, self._worker.settings
            name = goal.request.model or chosen.model
            if loaded is None or loaded.model != name:
                wanted = chosen if name == chosen.model else with_model(settings, name)
                self._load(wanted, progress, check)
            yield

    @contextmanager
    def chosen(self, check: Callable[[], object]) -> Iterator[LoadedModel]:
        """
        Give what asks between plans the chosen model, which stays for as long as this is held.

        It is loaded again if a plan goal left the one that it named. Raises GoalError, also if no
        model is loaded.

        :param check: called while it waits for a plan and loads; what it raises ends that.
        """
        with self._worker.turn(check):
            loaded = self._worker.settings
            chosen = self._chosen or parameters.read(self._node, Settings)
            if loaded is not None and loaded.model != chosen.model:
                self._load(chosen, lambda phase, done, total: None, check)
            yield self._worker.require_model()

    def configure(self, settings: Settings) -> None:
        """Load and choose the model of the parameters; raise what loading raises."""
        self._worker.load(settings)
        self._chosen = settings

    def _on_load(self, goal: Goal) -> LoadModel.Result:
        message, began = goal.request, time.monotonic()
        settings = checked(
            ErrorCode.INVALID_SETTINGS,
            with_model,
            parameters.read(self._node, Settings),
            message.name,
            message.checkpoint,
            message.device,
            message.dtype,
        )
        progress = _Throttle(
            lambda phase, done, total: goal.handle.publish_feedback(
                LoadModel.Feedback(
                    phase=PHASES[phase],
                    bytes_done=done,
                    bytes_total=total,
                    progress=done / total if total else 0.0,
                )
            )
        )
        if message.download:
            self._download(settings, progress, goal.check_stop)
        progress('wait', 0, 0)
        with self._worker.turn(goal.check_stop):
            self._load(settings, progress, goal.check_stop, goal.commit)
            self._chosen, model = settings, self._worker.model
            return LoadModel.Result(
                name=model.name,
                device=str(model.device),
                dtype=dtype_name(model.dtype),
                memory=model.memory,
                load_time=to_duration(time.monotonic() - began),
            )

    def _download(
        self, settings: Settings, progress: Progress, check_stop: Callable[[], None]
    ) -> None:
        from ..world_model import download_weights, model_spec

        with self._marked(settings.model, ModelInfo.DOWNLOADING), as_goal_errors(OUT_OF_MEMORY):
            spec = model_spec(settings.model)
            self._node.get_logger().info(f'licence of the weights of {spec.name}: {spec.licence}')
            download_weights(
                spec,
                settings.model_cache or None,
                checkpoint=settings.checkpoint or None,
                progress=progress,
                check_stop=check_stop,
            )

    def _load(self, settings: Settings, *args: Any) -> None:
        with self._marked(settings.model, ModelInfo.LOADING), as_goal_errors(OUT_OF_MEMORY):
            checked(ErrorCode.INVALID_SETTINGS, self._worker.load, settings, *args)

    @contextmanager
    def _marked(self, name: str, state: int) -> Iterator[None]:
        self._under_way[name] = state
        try:
            yield
        finally:
            self._under_way.pop(name, None)

    def _on_unload(
        self, request: UnloadModel.Request, response: UnloadModel.Response
    ) -> UnloadModel.Response:
        def refuse() -> None:
            raise GoalError(ErrorCode.UNKNOWN, 'a plan or a load is under way: cancel it first')

        try:
            with self._worker.turn(refuse):
                name = self._worker.require_model().world_model.name
                self._worker.unload()
                self._chosen = None
            response.success, response.message = True, f'{name} is unloaded'
        except GoalError as error:
            response.message = str(error)
        self._node.get_logger().info(f'unload_model: {response.message}')
        return response

    def _on_list(
        self, request: ListModels.Request, response: ListModels.Response
    ) -> ListModels.Response:
        try:
            from ..world_model import MODELS
        except ImportError as error:  # the node stays up without torch, and says what to run
            self._node.get_logger().error(f'list_models: {error}', throttle_duration_sec=10.0)
            return response
        cache = parameters.read(self._node, Settings).model_cache or None
        loaded = self._worker.model, self._worker.settings
        response.models = [self._info(spec, cache, *loaded) for spec in MODELS.values()]
        return response

    def _info(
        self, spec: Any, cache: str | None, model: Any, settings: Settings | None
    ) -> ModelInfo:
        from ..world_model import (
            find_weights,
            layout_of,
            missing_files,
            parameter_count,
            WorldModelError,
        )

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
                dtype_name(model.dtype),
                model.memory,
            )
            checkpoint = settings.checkpoint if settings else None
        try:
            sources = find_weights(spec, checkpoint, cache)
            info.on_disk, info.path = True, ', '.join(map(str, sources))
            info.file_size = sum(source.size for source in sources)
            info.layout = layout_of(sources, spec)
        except (WorldModelError, OSError):
            info.missing = missing_files(spec, cache)
        return info


class _Throttle:
    """Reports progress: the start and end of each phase, between them every FEEDBACK_PERIOD."""

    def __init__(self, report: Progress):
        self._report, self._phase, self._next = report, '', -math.inf

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase != self._phase or now >= self._next or 0 < total == done:
            self._phase, self._next = phase, now + FEEDBACK_PERIOD
            self._report(phase, done, total)


def describe(model: Any) -> str:
    """Return what the log says of a model, or of a LoadModel Result."""
    return (
        f'{model.name} is loaded on {model.device} in {dtype_name(model.dtype)}, '
        f'{model.memory / 1e6:.0f} MB'
    )
