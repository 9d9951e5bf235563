# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
End planners by signals on a machine that is busy: exit code 0, and an answer to the client.

Half of the planners get SIGINT or SIGTERM at a random time after their start, whatever they do
then; the others in the middle of a plan, whose client must be told.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, ExitStack
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_planner_ros.cli import common as commands
from vjepa2_planner_ros.client import PlanFailed, PlannerClient
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.process import free_domain

START = 'from vjepa2_planner_ros.nodes.programs import planner_node; planner_node()'
PLANNER = (sys.executable, '-c', START)  # as the installed command does
EARLIEST, LATEST = 1.5, 9.6  # s after the start
PATIENCE = 120.0  # s for a start, an end or an answer, on whatever machine
FIRST_ITERATION = 5.0  # s to wait for it: it may last longer than that
GOAL = {'optimizer': 'cem', 'samples': 1000, 'iterations': 100, 'horizon': 8}


def main(args=None) -> int:
    """Run the trials; return 0 only if each ended as it should."""
    return commands.run(_run, _parser().parse_args(args))


def _run(options) -> int:
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    chance, failed = random.Random(options.seed), 0
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='signals-'))
        stack.enter_context(load(options.load))
        stack.enter_context(commands.ros())
        for trial in range(options.trials):
            number = chance.choice((signal.SIGINT, signal.SIGTERM))
            after = None if trial % 2 else chance.uniform(EARLIEST, LATEST)
            text, complaint = one_trial(number, after, folder)
            failed += bool(complaint)
            print(f'{trial + 1:4d} {number.name} {text} {complaint or "good"}', flush=True)
    print(f'{options.trials - failed} of {options.trials} trials were good')
    return int(failed > 0)


def one_trial(number: signal.Signals, after: float | None, folder: str) -> tuple[str, str]:
    """
    Start a planner and send it a signal; return (what was measured, what is wrong or '').

    :param after: s from the start to the signal; None = in the middle of a plan.
    """
    with open(os.path.join(folder, 'log'), 'w+') as log:
        process = subprocess.Popen(
            PLANNER, stdout=log, stderr=log, env={**os.environ, 'ROS_LOG_DIR': folder}
        )
        try:
            when, answer = f'after {after:.2f} s' if after else 'in a plan', ''
            if after is not None:
                time.sleep(after)
                began = send(process, number)
            else:
                began, answer = signal_in_a_plan(process, number)
            process.wait(PATIENCE)
            took = time.monotonic() - began
        finally:
            process.kill()
        wrong = [answer] if answer else []
        if process.returncode:
            log.seek(0)
            wrong.append(f'exit code {process.returncode}: {log.read()[-2000:]}')
    return f'{when}: ended in {took:.2f} s', '; '.join(wrong)


def signal_in_a_plan(process: subprocess.Popen, number: signal.Signals) -> tuple[float, str]:
    """Signal a planner that plans; return (time of the signal, what is wrong with the answer)."""
    planning, picture = threading.Event(), np.zeros((256, 256, 3), np.uint8)
    state = EndEffectorState()
    state.pose.position.x = state.pose.position.z = 0.4

    def note(feedback) -> None:
        if feedback.phase == PlanAction.Feedback.OPTIMIZING:
            planning.set()

    with PlannerClient() as client:
        if not client.wait_until_ready(PATIENCE):
            raise TimeoutError(f'the planner was not ready within {PATIENCE:g} s')
        future = client.plan_async(
            picture, current_image=picture, start_state=state, on_feedback=note, **GOAL
        )
        planning.wait(FIRST_ITERATION)
        began = send(process, number)
        failure = future.exception(PATIENCE)
    if isinstance(failure, PlanFailed) and failure.code == ErrorCode.NODE_DEACTIVATED:
        return began, ''
    return began, f'the client was told {failure!r}'


def send(process: subprocess.Popen, number: signal.Signals) -> float:
    """Send a signal; return when."""
    process.send_signal(number)
    return time.monotonic()


@contextmanager
def load(count: int) -> Iterator[None]:
    """Keep the machine busy with so many processes of the usual priority."""
    busy = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='signals', description=__doc__.splitlines()[1])
    parser.add_argument('--trials', type=int, default=20, help='(default: %(default)s)')
    parser.add_argument('--load', type=int, default=12, help='busy processes (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of times and signals')
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
