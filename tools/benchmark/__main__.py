# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how fast this machine encodes, predicts and plans.

In the same run, call by call in turn, the peer does the same work: Meta's modules driven as Meta's
planner drives them, if cc-vjepa2 is installed (requirements/oracle.txt).
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
import json
from pathlib import Path
import platform
import re
import sys
from time import perf_counter

from tools.benchmark import report, speed, startup
import torch
from vjepa2_planner_ros.world_model.devices import peak_host_memory, pick_device


def main(args=None) -> int:
    """Run the benchmark and print its tables."""
    options = _parser().parse_args(args)
    began = perf_counter()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    contest = speed.Contest(speed.size_for(options.size, device), device)
    try:
        found = measure(contest)
    finally:
        contest.close()
    if find_spec('rclpy'):
        found['startup'] = startup.measure()
        report.print_times('Start-up', found['startup'])
        found['ros'] = startup.ros_overhead()
        report.print_times(
            'A plan of 16 x 3 with sim-panda-ac, directly and through the action', found['ros']
        )
    found['seconds'] = perf_counter() - began
    print(f'\npeak memory {found["peak_memory"] / 1e9:.2f} GB, {found["seconds"]:.0f} s in all')
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + '\n')
    return 0


def measure(contest: speed.Contest) -> dict:
    """Measure and print encoding, rollouts and plans."""
    found = {'machine': machine(contest.device), 'size': contest.size.spec.name}
    report.print_machine(found)
    found['encode'] = contest.encode()
    report.print_rows('Encode one picture', found['encode'])
    found['rollouts'] = contest.rollouts()
    report.print_rows('Rollouts', found['rollouts'])
    found['plans'] = contest.plans()
    report.print_rows('Whole plans, two pictures encoded in each', found['plans'])
    found['region_plans'] = contest.region_plans()
    report.print_rows('The same by the trust region', found['region_plans'])
    found['peak_memory'] = peak_memory(contest)
    return found


def machine(device: torch.device) -> dict:
    """Return what the figures depend on."""
    if device.type == 'cuda':
        processor = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path('/proc/cpuinfo')
        known = re.search('model name\\s*: (.*)', cpuinfo.read_text() if cpuinfo.exists() else '')
        processor = known[1] if known else platform.processor()
    return {
        'processor': processor,
        'device': str(device),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'python': platform.python_version(),
    }


def peak_memory(contest: speed.Contest) -> int:
    """Return the most bytes of a GPU that the first plan takes, or of this process so far."""
    if contest.device.type == 'cuda':
        return speed.peak_memory(contest.size, contest.device)
    return peak_host_memory()


def _parser():
    parser = argparse.ArgumentParser(prog='benchmark', description=__doc__.splitlines()[1])
    parser.add_argument(
        '--size',
        choices=speed.SIZES,
        default='sim',
        help='of the model (default: sim, that of sim-panda-ac)',
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--threads', type=int, help="of torch on the CPU (default: torch's)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all figures there')
    return parser


if __name__ == '__main__':
    sys.exit(main())
