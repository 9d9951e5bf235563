# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Try the controller with random faults, one in each run, while an observer watches the arm.

Simulated arm, planner and controller are processes of their own. Between arm and controller a
relay passes pictures and poses on, or freezes, delays, shifts or drops them; processes are
stopped and killed. The observer sees the arm itself. The exit code is 0 only if the arm never
left the workspace, never moved faster than the limit nor when it had to rest, held in time, and
every run ended exactly once, for a reason that fits.
"""

import argparse
from collections import defaultdict
from contextlib import ExitStack
import json
import os
from pathlib import Path
import time

from tools.soak import report
from tools.soak.reach_lab import Lab, TARGETS
from tools.soak.reach_trials import perform
from tqdm import tqdm
from vjepa2_planner_ros.cli import common as commands
from vjepa2_planner_ros.nodes.process import free_domain

SAME = ('seed', 'mode', 'output')  # options of a file that is gone on with


def main(args=None) -> int:
    """Run the trials; return 0 only if nothing was wrong."""
    return commands.run(_run, _parser().parse_args(args), (RuntimeError,))


def _run(options):
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    began, trials, fastest = time.monotonic(), _done_before(options), {}
    numbers = options.only or range(len(trials), options.faults)
    if numbers:
        with ExitStack() as stack:
            stack.enter_context(commands.ros())
            lab = stack.enter_context(Lab(options.mode, options.seed, options.output))
            lab.slack = options.slack
            lab.wait_until_ready()
            for number in tqdm(numbers, unit='', dynamic_ncols=True):
                trials.append(perform(lab, options.seed, number).to_json())
                for complaint in trials[-1]['complaints']:
                    tqdm.write(_words(trials[-1], complaint))
                fastest = lab.observer.fastest
                _keep(options, trials, fastest)
    print(
        f'{len(trials)} faults, arm {options.mode}, {options.output}, seed {options.seed}, '
        f'{time.monotonic() - began:.0f} s\n\n{_table(trials)}\n\n{_hold_table(trials)}\n'
    )
    for name, speed in fastest.items():
        print(f'highest speed of the {name}: {speed:.3f} m/s')
    complaints = [_words(trial, text) for trial in trials for text in trial['complaints']]
    print('', *complaints, 'FAILED' if complaints else 'PASSED', sep='\n')
    return 1 if complaints else 0


def _words(trial, complaint):
    return (
        f'fault {trial["number"]} ({trial["fault"]}, {trial["phase"]}): {complaint} '
        f'(once more: --only {trial["number"]})'
    )


def _done_before(options):
    if not options.json or not Path(options.json).exists() or options.only:
        return []
    before = json.loads(Path(options.json).read_text())
    if any(before[name] != getattr(options, name) for name in SAME):
        raise ValueError(f'{options.json}: of another {", ".join(SAME)}; take another file')
    return before['trials']


def _keep(options, trials, fastest):
    if options.json:
        values = {name: getattr(options, name) for name in SAME}
        values |= {'fastest': fastest, 'trials': trials}
        whole = Path(f'{options.json}.new')
        whole.write_text(json.dumps(values, indent=1) + '\n')
        whole.replace(options.json)


def _table(trials):
    """Return how often each fault happened, to how many runs that moved, and how these ended."""
    counted = defaultdict(lambda: [0, 0, defaultdict(int)])
    for trial in trials:
        row = counted[trial['fault']]
        row[0] += 1
        row[1] += trial['moving']
        for outcome in trial['outcomes']:
            row[2][outcome] += 1
    lines = [f'{"fault":<20}{"runs":>6}{"moving":>8}  ends']
    for name, (count, moving, ends) in sorted(counted.items()):
        words = ', '.join(f'{end} {number}' for end, number in sorted(ends.items()))
        lines.append(f'{name:<20}{count:>6}{moving:>8}  {words}')
    return '\n'.join(lines)


def _hold_table(trials):
    """Return the table of the times until the arm held, of faults that happened in motion."""
    holds = defaultdict(list)
    for trial in trials:
        if trial['hold'] is not None and trial['moving']:
            holds[f'{trial["fault"]}: until the arm held'].append(trial['hold'])
    return report.time_table(report.times(dict(sorted(holds.items()))))


def _parser():
    parser = argparse.ArgumentParser(prog='controller', description=__doc__.splitlines()[1])
    parser.add_argument('--faults', type=int, default=500, help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of what happens (default: 0)')
    parser.add_argument(
        '--only', type=int, nargs='+', metavar='N', help='just the faults of these numbers'
    )
    parser.add_argument(
        '--mode',
        choices=('kinematic', 'physics'),
        default='kinematic',
        help='of the arm; the kinematic one is at its target at once (default: kinematic)',
    )
    parser.add_argument(
        '--output', choices=TARGETS, default='pose', help='what the arm is sent (default: pose)'
    )
    parser.add_argument(
        '--slack',
        type=float,
        default=0.5,
        metavar='S',
        help='what a busy machine may add to a time that is promised [s] (default: 0.5)',
    )
    parser.add_argument(
        '--json', metavar='FILE', help='write every fault there; go on from there if it exists'
    )
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
