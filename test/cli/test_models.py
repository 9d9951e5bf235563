# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command that lists models, fetches their weights and tries them."""

import os
import re
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file
import torch
from vjepa2_planner_ros.cli.models import main
from vjepa2_planner_ros.world_model import model_spec


def test_list_shows_every_model_and_where_its_weights_are(tmp_path, capsys):
    (tmp_path / 'vitl.pt').touch()
    assert main(['list', '--cache', str(tmp_path)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows.keys() == set(
        'model sim-panda sim-panda-ac vit-giant-ac vit-large vit-huge vit-giant '
        'vit-giant-384 vit-giant-ac-droid vit-base-2.1 vit-large-2.1 vit-giant-2.1 '
        'vit-gigantic-2.1'.split()
    )
    assert f'{tmp_path}/vitl.pt' in rows['vit-large'] and '3 DOF' in rows['vit-large']
    assert 'not here; https://' in rows['vit-giant-ac'] and '7 DOF' in rows['vit-giant-ac']
    assert '5.270 GB' in rows['vit-giant-ac'] and '2.635 GB' in rows['vit-giant-ac']
    assert 'sim-panda-ac.safetensors' in rows['sim-panda-ac']


@pytest.mark.slow
def test_list_is_quiet_when_nobody_reads_on():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, '-m', 'vjepa2_planner_ros.cli.models', 'list']
    buffered = {**os.environ, 'PYTHONUNBUFFERED': ''}
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=buffered)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b'')


def test_load_check_tells_what_loading_took(capsys):
    assert main(['load-check', 'sim-panda-ac', '--device', 'cpu', '--dtype', 'float32']) == 0
    printed = capsys.readouterr().out
    assert re.search(r'loaded on cpu in float32 in \d+\.\d s', printed)
    assert re.search(r'weights \d\.\d MB; host memory peaked at [\d.]+ [MG]B', printed)
    assert 'torch.' not in printed and ' 0.00 GB' not in printed
    assert 'encoded a picture to [1, 64, 128]' in printed
    assert 'predicted the effect of an action' in printed


def test_load_check_fails_with_the_reason(tmp_path, capsys):
    assert main(['load-check', 'vit-large', '--cache', str(tmp_path)]) == 1
    assert 'models download vit-large' in capsys.readouterr().err
    assert main(['load-check', 'sim-panda-ac', '--device', 'warp']) == 1
    assert "device is 'warp'" in capsys.readouterr().err
    assert main(['download', 'vit-tiny']) == 1
    assert "'vit-tiny'; allowed" in capsys.readouterr().err


@pytest.mark.parametrize(
    'name, right', [('sim-panda', 'sim-panda-ac'), ('vit-large', 'sim-panda')]
)
def test_load_check_names_the_model_that_a_file_fits(name, right, capsys):
    options = ['--device', 'cpu', '--checkpoint', str(model_spec(right).weights)]
    assert main(['load-check', name, *options]) == 1
    assert capsys.readouterr().err.endswith(f'; it has the tensors of {right}\n')


def test_load_check_finds_weights_that_are_not_finite(tmp_path, capsys):
    weights = load_file(model_spec('sim-panda-ac').weights)
    weights['encoder.norm.weight'] = torch.full_like(weights['encoder.norm.weight'], torch.nan)
    damaged = tmp_path / 'damaged.safetensors'
    save_file(weights, damaged)
    options = ['--device', 'cpu', '--checkpoint', str(damaged)]
    assert main(['load-check', 'sim-panda-ac', *options]) == 1
    assert 'not finite' in capsys.readouterr().err


def test_shipped_weights_need_no_download(capsys):
    assert main(['download', 'sim-panda-ac']) == 0
    assert 'sim-panda-ac.safetensors' in capsys.readouterr().out
