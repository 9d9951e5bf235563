# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The two ways a goal ends without a result, and which error code an exception means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import traceback
from typing import TypeVar

from ..messages.error_codes import ErrorCode
from ..messages.texts import one_line

Value = TypeVar('Value')


class GoalError(Exception):
    """
    A goal cannot be answered: an ErrorCode and a text naming field, value and allowed.

    label is what the log calls it.
    """

    def __init__(self, code: ErrorCode, message: str):
        super().__init__(one_line(message))
        self.code, self.label = code, code.name


class GoalStopped(Exception):
    """The goal was asked to stop; its StopReason says why."""


def checked(code: ErrorCode, function: Callable[..., Value], *args: object) -> Value:
    """Return function(*args); a ValueError becomes a GoalError of that code."""
    try:
        return function(*args)
    except ValueError as error:
        raise GoalError(code, str(error)) from error


@contextmanager
def as_goal_errors(out_of_memory: str) -> Iterator[None]:
    """
    Turn what torch, world models and planning raise into a GoalError by one table.

    GoalError and GoalStopped pass. Needs torch.

    :param out_of_memory: text for the error of memory that runs out: what to do.
    """
    try:
        yield
    except (GoalError, GoalStopped):
        raise
    except Exception as error:
        raise _goal_error(error, out_of_memory) from error


def _goal_error(error: Exception, out_of_memory: str) -> GoalError:
    from ..planning.errors import NonFiniteEnergyError
    from ..world_model import ModelLoadError, ModelNotFoundError, WeightsNotFoundError
    from ..world_model.devices import is_out_of_memory, release_memory

    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled it
        release_memory()
        return GoalError(ErrorCode.OUT_OF_MEMORY, f'{out_of_memory} ({error})')
    if isinstance(error, WeightsNotFoundError):
        hint = 'a goal of ~/load_model with download: true gets it too'
        return GoalError(ErrorCode.MODEL_LOAD_FAILED, f'{error}; {hint}')
    for kind, code in (
        (ModelLoadError, ErrorCode.MODEL_LOAD_FAILED),
        (ModelNotFoundError, ErrorCode.MODEL_NOT_FOUND),
        (NonFiniteEnergyError, ErrorCode.NON_FINITE_ENERGY),
    ):
        if isinstance(error, kind):
            return GoalError(code, str(error))
    return GoalError(ErrorCode.UNKNOWN, f'{type(error).__name__}: {error}')
