# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes of a command, which end with it."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile

END_WITHIN = 5.0  # s after SIGTERM


class SpawnedNode:
    """
    A node as a process with its output in a log; a context manager that ends it.

    SIGTERM, and a terminal that closes, end the command in order from then on, and so the node.

    :param name: what messages call the node.
    :param module: run as python -m MODULE.
    :param parameters, remappings: what -p and -r of --ros-args set; __ns among the latter.
    :param params_file: file of parameters, which come before those.
    :param environment: variables beside those of the command.
    """

    def __init__(
        self,
        name: str,
        module: str,
        parameters: Mapping[str, object],
        remappings: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
        params_file: str | Path | None = None,
    ):
        self._name = name
        self._log = tempfile.NamedTemporaryFile('w')
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup does
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        command = [sys.executable, '-m', module, '--ros-args']
        if params_file is not None:
            command += ['--params-file', str(params_file)]
        for flag, values in (('-p', parameters), ('-r', remappings)):
            for key, value in values.items():
                command += [flag, f'{key}:={value}']
        # A session of its own: Ctrl-C reaches the command alone, which then ends the node.
        self._process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )

    def __enter__(self) -> SpawnedNode:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        if error[0] is not None:
            print(self.last_lines(), file=sys.stderr)
        self._log.close()

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def check(self) -> None:
        """Raise RuntimeError if the node has ended."""
        if self._process.poll() is not None:
            code = self._process.returncode
            raise RuntimeError(f'the {self._name} ended with exit code {code}')

    def end(self) -> list[str]:
        """End the node, the hard way after END_WITHIN; return what was wrong with how it ended."""
        self._process.terminate()
        try:
            code = self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return [f'the {self._name} had not ended {END_WITHIN:g} s after SIGTERM']
        return [f'the {self._name} ended with exit code {code}'] if code else []

    def log(self) -> str:
        """Return what the node has printed so far."""
        return Path(self._log.name).read_text(errors='replace')

    def last_lines(self, count: int = 30) -> str:
        """Return the end of the log under a heading."""
        lines = self.log().splitlines()[-count:]
        return '\n'.join([f'End of the log of the {self._name}:', *lines])
