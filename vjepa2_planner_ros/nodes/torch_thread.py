# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything the node does with torch, on one thread of its own."""

from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
import math
import threading
import traceback
import weakref

import numpy as np

from .errors import GoalError, GoalStopped
from .solver import Answer, goal_error, Request, Solver
from ..messages.error_codes import ErrorCode
from ..planning.config import TrustRegionConfig
from ..planning.errors import PlanCancelled
from ..planning.search import goal_energy, plan
from ..world_model import LoadCancelled
from ..world_model.devices import release_memory

SHUT_DOWN = 'the node was shut down meanwhile'


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
        self._turn = threading.Semaphore()  # whoever waits for it can still be stopped, see turn
        self._solver = None
        self._settings = None  # that the model was loaded with

    @property
    def busy(self):
        """Return whether torch is at work."""
        return self._busy.is_set()

    @property
    def model(self):
        """Return the loaded world model or None; for its name, device and dtype."""
        solver = self._solver  # it may be let go of meanwhile
        return None if solver is None else solver.model

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
        self._call(
            self._load,
            settings,
            progress or (lambda phase, done, total: None),
            should_stop or (lambda: False),
            may_switch or (lambda: True),
        )

    def unload(self):
        """Forget the model and give its memory back."""
        self._call(self._exchange, None, None)

    def plan(self, request: Request, report) -> Answer:
        """
        Answer a request; report is told of the progress.

        report has encoding(share), goal_input(rgb), model_input(rgb), iteration(SearchIteration in
        command convention), stopped() and raise_if_stopped(). GoalError or GoalStopped if there
        is no plan.
        """
        return self._call(self._answered, lambda: self._solver.plan(request, report))

    def energies(self, request: Request, commands_within, batch, report) -> np.ndarray:
        """
        Return the energies, float32 [P], of single steps from where a request starts.

        Each batch is a call of its own: a plan that is asked for meanwhile waits for one.

        :param commands_within: returns the steps [P, 7], command convention, for the model's
            bounds [7]; a ValueError of it is an INVALID_SETTINGS.
        :param report: as in plan, with evaluated(share) instead of iteration.
        """
        energies = []
        solver, total, batches = self._call(
            self._answered, self._begin_energies, request, commands_within, batch, report
        )
        while sum(map(len, energies)) < total:
            energies.append(
                self._call(self._answered, self._next_energies, solver, batches, report)
            )
            report.evaluated(sum(map(len, energies)) / total)
        return np.concatenate(energies)

    def energy(self, goal, picture):
        """
        Return the energy between a goal and a picture, uint8 [H, W, 3] RGB, and the model's name.

        They are encoded in calls of their own: a plan that begins meanwhile waits for one of them.
        GoalError if there is no energy.
        """
        target = self._call(self._answered, self._latents, goal)
        return self._call(self._answered, self._energy, picture, *target)

    def close(self):
        """Stop the thread after what it does now."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _call(self, function, *args):
        try:
            call = self._pool.submit(self._run, function, *args)
        except RuntimeError as error:  # after close()
            raise GoalError(ErrorCode.NODE_DEACTIVATED, SHUT_DOWN) from error
        try:
            return call.result()
        except CancelledError as error:  # by close()
            raise GoalError(ErrorCode.NODE_DEACTIVATED, SHUT_DOWN) from error

    def _run(self, function, *args):
        self._busy.set()
        try:
            return function(*args)
        finally:
            self._busy.clear()

    def _load(self, settings, progress, should_stop, may_switch):
        try:
            solver = Solver(self._ready_model(settings, progress, should_stop, may_switch))
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold what was loaded
            release_memory()
            raise
        self._exchange(solver, settings)

    def _ready_model(self, settings, progress, should_stop, may_switch):
        model = self._load_model(
            settings.model,
            device=settings.device,
            dtype=settings.dtype,
            checkpoint=settings.checkpoint or None,
            cache=settings.model_cache or None,
            progress=progress,
            should_stop=should_stop,
        )
        # The first calls compile kernels and reserve memory: not while a robot waits.
        progress('warm up', 0, 0)
        frame = np.zeros((256, 256, 3), np.uint8)
        latents = model.encode(frame[None])
        if model.action_dim == 7:
            plan(
                model,
                latents,
                np.zeros((1, 7)),
                latents[0],
                TrustRegionConfig(iterations=1, seed=0),
                should_stop=should_stop,
            )
        if should_stop() or not may_switch():
            raise LoadCancelled(f"loading model '{settings.model}' was stopped")
        return model

    def _exchange(self, solver, settings):
        """Take a solver, or None, and give the memory of the one before back."""
        old, self._solver, self._settings = self.model, solver, settings
        if old is not None:
            old.drop_weights()  # others, such as diagnostics, may look at it just now
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
            raise goal_error(error, self.model) from error

    def _latents(self, picture):
        """Return the latents [N, D] of a picture and the solver, weakly: it may be let go of."""
        if self._solver is None:
            raise GoalError(ErrorCode.NODE_DEACTIVATED, 'no model is loaded')
        return self.model.encode(picture[None])[0], weakref.ref(self._solver)

    def _energy(self, picture, target, solver):
        latents, now = self._latents(picture)
        if now() is not solver():
            raise GoalError(ErrorCode.UNKNOWN, 'the model was exchanged meanwhile: ask again')
        energy = goal_energy(latents[None], target).item()
        if not math.isfinite(energy):
            raise GoalError(ErrorCode.NON_FINITE_ENERGY, f'the energy is {energy}')
        return energy, self.model.name

    def _begin_energies(self, *args):
        return self._solver, *self._solver.begin_energies(*args)

    def _next_energies(self, solver, batches, report):
        report.raise_if_stopped()
        if solver is not self._solver:
            raise GoalError(
                ErrorCode.MODEL_NOT_FOUND,
                f"model '{solver.model.name}' was replaced meanwhile; ask again",
            )
        return next(batches)
