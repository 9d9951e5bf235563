# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the world model: everything the node does with torch runs there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
import threading
import traceback
from typing import Any, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import as_goal_errors, GoalError
from .goal_reader import PlanRequest
from .settings import Settings
from ..messages.error_codes import ErrorCode
from ..messages.input_settings import Crop
from ..planning.config import SearchConfig

if TYPE_CHECKING:  # it needs torch, without which the node starts and says what is missing
    from .loaded_model import Answer, LoadedModel

ADVICE = (
    'lower the samples of the optimizer (cem.samples, trust_region.samples), search.horizon or '
    'landscape.batch, or use a smaller model or dtype'
)


def load_world_model(*args: Any, **options: Any) -> Any:
    """Load a model as world_model.load_world_model does, imported when it is needed."""
    from ..world_model import load_world_model

    return load_world_model(*args, **options)


class ModelReplaced(GoalError):
    """What is under way is no more, for another model was loaded: begin anew."""

    def __init__(self, name: str):
        text = f"model '{name}' was replaced by another one: ask again"
        super().__init__(ErrorCode.MODEL_NOT_FOUND, text)


class Worker:
    """
    Owner of the world model and of the one thread that uses it.

    CUDA graphs and compiled modules belong to the thread that made them, and the executor's
    callbacks run on changing threads. Callers that plan with the model or exchange it hold a
    turn().

    :param load_model: like world_model.load_world_model.
    """

    def __init__(self, load_model: Callable[..., Any] = load_world_model):
        self._load_model = load_model
        self._pool = ThreadPoolExecutor(1, thread_name_prefix='worker')
        self._busy = threading.Event()
        self._turn = threading.Semaphore()
        self._abandoned, self._changed = False, threading.Condition()
        self._loaded: LoadedModel | None = None
        self.settings: Settings | None = None  # that the model was loaded with

    @property
    def busy(self) -> bool:
        """Return whether the thread is working."""
        return self._busy.is_set()

    @property
    def model(self) -> Any:
        """Return the loaded world model or None; for its name, device and dtype."""
        loaded = self._loaded  # another thread may replace it at any time
        return None if loaded is None else loaded.world_model

    @property
    def fitted(self) -> bool:
        """Return whether the confidence of the loaded model is calibrated."""
        loaded = self._loaded
        return loaded is not None and loaded.fit is not None

    @contextmanager
    def turn(self, check: Callable[[], object]) -> Iterator[None]:
        """Wait until no other caller has the model; meanwhile check() is called, and may raise."""
        while not self._turn.acquire(timeout=0.05):
            check()
        try:
            yield
        finally:
            self._turn.release()

    def load(
        self,
        settings: Settings,
        progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
        check_stop: Callable[[], None] = lambda: None,
        commit: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Load and warm up the model that settings name, then free the previous one.

        The previous one stays if that fails or is stopped. Raises what loading raises.

        :param progress: called with the phase ('verify', 'load', 'warm up'), bytes done, in all.
        :param check_stop: called often; what it raises ends the load.
        :param commit: called once when the new model is ready; what it raises ends the load.
        """
        self._call(self._load, settings, progress, check_stop, commit)

    def unload(self) -> None:
        """Free the model and its memory."""
        self._call(self._exchange, None, None)

    def plan(self, request: PlanRequest, report: Any) -> Answer:
        """
        Answer a request; its progress goes to a report (see reporting).

        GoalError or GoalStopped if there is no plan.
        """
        return self._ask(lambda: self.require_model().plan(request, report))

    def energies(
        self,
        request: PlanRequest,
        commands_within: Callable[[Any], NDArray[np.float64]],
        batch: int,
        model: str,
        report: Any,
    ) -> NDArray[np.float32]:
        """
        Return the energies, float32 [P], of single steps from where a request starts.

        Each batch is a separate call: a plan that begins meanwhile waits for one of them.

        :param commands_within: returns the steps [P, 7], command convention, for the model's
            bounds [7]; its ValueError becomes INVALID_SETTINGS.
        :param model: name of the model that they are asked of.
        :param report: as in plan, with evaluated(share) instead of iteration.
        """

        def begin() -> Any:
            loaded = self.require_model(model)
            return loaded, *loaded.begin_energies(request, commands_within, batch, report)

        def next_batch() -> NDArray[np.float32]:
            report.goal.check_stop()
            self._require_same(loaded)
            return next(batches)

        loaded, total, batches = self._ask(begin)
        energies: list[NDArray[np.float32]] = []
        while sum(map(len, energies)) < total:
            energies.append(self._ask(next_batch))
            report.evaluated(sum(map(len, energies)) / total)
        return np.concatenate(energies)

    def energy(
        self,
        goal: NDArray[np.uint8],
        picture: NDArray[np.uint8],
        search: SearchConfig,
        crop: Crop,
        model: LoadedModel,
    ) -> float:
        """
        Return the energy between a goal and a picture, uint8 [H, W, 3] RGB.

        They are encoded in separate calls: a plan that begins meanwhile waits for one of them.
        GoalError if there is no energy, ModelReplaced if the model is not the loaded one any more.

        :param search: whose cost it is.
        :param crop: of both pictures.
        :param model: that it is asked of.
        """

        def encode() -> Any:
            self._require_same(model)
            return model.encode(goal, crop)

        def energy() -> float:
            self._require_same(model)
            return model.energy(model.encode(picture, crop), latents, search)

        latents = self._ask(encode)
        return self._ask(energy)

    def close(self) -> None:
        """Stop the thread after the running call."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def abandon(self) -> None:
        """Let nobody wait for the thread any more, whatever it does: calls end as after close."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def require_model(self, name: str = '') -> LoadedModel:
        """Return the loaded model; GoalError if there is none, or one of another name."""
        loaded = self._loaded  # another thread may replace it at any time
        if loaded is None:
            raise GoalError(
                ErrorCode.NODE_DEACTIVATED,
                'no model is loaded: configuring the node, a plan or ~/load_model loads one',
            )
        if name not in ('', loaded.world_model.name):
            raise ModelReplaced(name)
        return loaded

    def _require_same(self, loaded: LoadedModel) -> None:
        if loaded is not self._loaded:
            raise ModelReplaced(loaded.world_model.name)

    def _ask(self, function: Callable[[], Any]) -> Any:
        """Return function(), called on the worker's thread for a goal; raise as plan does."""

        def answer() -> Any:
            with as_goal_errors(
                f'memory of {self.model.device} ran out: {ADVICE}' if self.model else ADVICE
            ):
                return function()

        return self._call(answer)

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return function(*args), called on the worker's thread."""
        ended = GoalError(ErrorCode.NODE_DEACTIVATED, 'the node was shut down')
        try:
            call = self._pool.submit(self._run, function, *args)
        except RuntimeError as error:  # after close()
            raise ended from error
        call.add_done_callback(lambda _: self._wake())
        with self._changed:
            self._changed.wait_for(lambda: call.done() or self._abandoned)
        if not call.done():
            raise ended
        try:
            return call.result()
        except CancelledError as error:  # by close()
            raise ended from error

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        self._busy.set()
        try:
            return function(*args)
        finally:
            self._busy.clear()

    def _load(
        self,
        settings: Settings,
        progress: Callable[[str, int, int], None],
        check_stop: Callable[[], None],
        commit: Callable[[], None],
    ) -> None:
        from .loaded_model import calibration_for, decoder_for, fit_for, LoadedModel
        from ..world_model.devices import release_memory

        try:
            calibration_for(settings)  # a wrong file is told before the weights are read
            fit = fit_for(settings)
            model = self._load_model(
                settings.model,
                device=settings.device,
                dtype=settings.dtype,
                checkpoint=settings.checkpoint or None,
                cache=settings.model_cache or None,
                progress=progress,
                check_stop=check_stop,
            )
            loaded = LoadedModel(model, fit, decoder_for(settings, model))
            progress('warm up', 0, 0)
            loaded.warm_up(check_stop)
            check_stop()
            commit()
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold what was loaded
            release_memory()
            raise
        self._exchange(loaded, settings)

    def _exchange(self, loaded: LoadedModel | None, settings: Settings | None) -> None:
        """Replace the loaded model, also by None, and free the memory of the previous one."""
        from ..world_model.devices import release_memory

        old, self._loaded, self.settings = self._loaded, loaded, settings
        if old is not None:
            old.world_model.drop_weights()  # diagnostics and others may still hold the model
        release_memory()
