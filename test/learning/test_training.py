# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collecting and training: what is stored, folded, resumed and exported."""

from concurrent.futures.process import BrokenProcessPool
import csv
import threading
from time import sleep

import numpy as np
import psutil
import pytest
import torch
from vjepa2_planner_ros.learning.recipes import collect, train, train_decoder
from vjepa2_planner_ros.learning.recipes.encoder import EncoderTraining
from vjepa2_planner_ros.learning.recipes.episodes import (
    episode_path,
    read_episodes,
    write_episode,
    write_whole,
)
from vjepa2_planner_ros.learning.recipes.predictor import fold_normalisation, PredictorTraining
from vjepa2_planner_ros.simulation import ACTION_BOUNDS, PandaSim, WORKSPACE
from vjepa2_planner_ros.world_model import load_world_model, model_spec, MODELS, ModelSpec, poses
from vjepa2_planner_ros.world_model.decoder import load_decoder
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize

TINY = ModelSpec(
    name='tiny-ac',
    encoder=EncoderSize(48, 1, 2, 96),
    predictor=PredictorSize(48, 1, 2, 96),
    image_size=32,
    crop='center_square',
    action_bounds=ACTION_BOUNDS,
    reference_rotation=(np.pi, 0.0, 0.0),
)


def test_episode_is_deterministic_and_within_bounds():
    with PandaSim() as sim:
        first, second = (collect.collect_episode(sim, 7, 6, 32, 'center_square') for _ in range(2))
        other = collect.collect_episode(sim, 8, 6, 32, 'center_square')
    for a, b in zip(first, second):
        assert (a == b).all()
    frames, states, tips = other
    assert frames.shape == (7, 32, 32, 3) and frames.dtype == np.uint8
    assert states.shape == (7, 7) and tips.shape == (7, 2, 2)
    assert (frames != first[0]).any()
    low, high = np.transpose(WORKSPACE)
    assert (states[:, :3] > low - 1e-6).all() and (states[:, :3] < high + 1e-6).all()
    moved = poses.difference(torch.tensor(states[:-1]), torch.tensor(states[1:])).numpy()
    assert (np.abs(moved[:, [0, 1, 2, 6]]) <= np.array(ACTION_BOUNDS)[[0, 1, 2, 6]] + 1e-6).all()
    assert np.abs(moved[:, :3]).max() > 0.01


def random_episodes(folder, count=6, frames=5):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for seed in range(count):
        low, high = np.transpose(WORKSPACE)
        states = np.concatenate(
            [
                rng.uniform(low, high, (frames, 3)),
                rng.normal((np.pi, 0, 0), 0.1, (frames, 3)),
                rng.uniform(0, 1, (frames, 1)),
            ],
            axis=1,
        )
        write_episode(
            episode_path(folder, seed),
            rng.integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8),
            states,
            rng.uniform(0, 1, (frames, 2, 2)),
        )
    return folder


def test_episodes_are_read_in_the_order_of_seeds(tmp_path):
    folder = random_episodes(tmp_path / 'data')
    episodes = read_episodes(folder)
    assert episodes.frames.shape == (6, 5, 32, 32, 3)
    with np.load(episode_path(folder, 3)) as third:
        assert (episodes.frames[3] == third['frames']).all()
        assert (episodes.states[3] == third['states']).all()
        assert (episodes.tips[3] == third['tips']).all()
    with pytest.raises(FileNotFoundError, match='no episodes in'):
        read_episodes(tmp_path)


def test_folded_predictor_takes_physical_units():
    torch.manual_seed(0)
    training = PredictorTraining(TINY)
    for parameter in training.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    predictor = training.predictor.eval()
    latents, actions, states = torch.randn(2, 4, 48), torch.randn(2, 7), torch.randn(2, 7)
    scale, mean, std = torch.tensor(ACTION_BOUNDS), torch.randn(7), torch.rand(7) + 0.1
    with torch.inference_mode():
        expected, _ = predictor.step(latents, actions / scale, (states - mean) / std, 0)
        fold_normalisation(predictor, scale, mean, std)
        found, _ = predictor.step(latents, actions, states, 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_untrained_predictor_says_that_nothing_changes():
    training = PredictorTraining(TINY)
    latents = torch.nn.functional.layer_norm(torch.randn(2, 4, 48), (48,))
    with torch.inference_mode():
        predicted, _ = training.predictor.step(latents, torch.randn(2, 7), torch.randn(2, 7), 0)
    assert (predicted - latents).abs().max() < 0.05


def test_reconstruction_ignores_what_is_visible():
    torch.manual_seed(0)
    training = EncoderTraining(TINY)
    losses = training(
        torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8),
        torch.randn(4, 7),
        torch.rand(4, 2, 2),
    )
    losses['loss'].backward()
    values = {name: float(value.detach()) for name, value in losses.items()}
    parts = values['pixels'] + values['state'] + values['tips']
    assert values['loss'] == pytest.approx(parts, rel=1e-6)
    missing = [name for name, parameter in training.named_parameters() if parameter.grad is None]
    assert not missing


def test_tokens_that_know_the_tips_have_no_loss():
    training = EncoderTraining(TINY)  # 2 x 2 patches
    tips = torch.tensor([[[0.3, 0.1], [0.9, 0.6]]])  # in patch (0, 0), index 0, and (1, 1), 3
    known = torch.full((1, 4, 6), 0.0)
    known[..., [0, 3]] = -50.0
    known[0, 0, 0] = known[0, 3, 3] = 50.0
    centres = torch.tensor([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5]])
    known[0, :, 1:3], known[0, :, 4:6] = 2 * tips[0, 0] - centres, 2 * tips[0, 1] - centres
    training.to_tips = torch.nn.Identity()
    assert training.tip_loss(known, tips) < 1e-6
    assert training.tip_loss(known, 1.0 - tips) > 1.0


class Line(torch.nn.Module):
    """Learns the slope of a line."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(1, 1))

    def forward(self, x):
        return {'loss': (self.slope * x - 2.0 * x).square().mean()}


def train_line(path, steps, batch=lambda generator: (torch.rand(8, 1, generator=generator),)):
    line = Line()
    train.train(line, batch, dict, steps=steps, peak_rate=0.1, path=path, seed=0)
    return line


def steps_in(path):
    with open(path) as log:
        return [int(row['step']) for row in csv.DictReader(log)]


def failing(calls):
    """Return a batch that ends the run after some calls."""
    left = iter(range(calls))

    def batch(generator):
        next(left)
        return (torch.rand(8, 1, generator=generator),)

    return batch


def test_a_log_has_every_step_once_whatever_ended_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(train, 'LOG_EVERY', 1)
    path = tmp_path / 'line.pt'
    with pytest.raises(StopIteration):  # before the first checkpoint
        train_line(path, 6, failing(4))
    assert steps_in(tmp_path / 'line.csv') == [0, 1, 2, 3]
    train_line(path, 6)
    assert steps_in(tmp_path / 'line.csv') == list(range(6))
    with pytest.raises(StopIteration):  # behind a checkpoint
        train_line(path, 10, failing(3))
    train_line(path, 10)
    assert steps_in(tmp_path / 'line.csv') == list(range(10))


def test_a_shorter_run_leaves_the_checkpoint_of_a_longer_one(tmp_path):
    train_line(tmp_path / 'line.pt', 8)
    train_line(tmp_path / 'line.pt', 5)
    assert torch.load(tmp_path / 'line.pt', weights_only=True)['step'] == 8


def test_weights_that_are_no_numbers_never_get_into_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(train, 'SAVE_EVERY', 0.0)
    batches = iter([*torch.rand(3, 8, 1), torch.full((8, 1), torch.nan)])
    with pytest.raises(RuntimeError, match='non-finite'):
        train_line(tmp_path / 'line.pt', 6, lambda generator: (next(batches),))
    saved = torch.load(tmp_path / 'line.pt', weights_only=True)
    assert saved['step'] == 3 and saved['module']['slope'].isfinite().all()


def test_a_text_is_written_whole_or_not_at_all(tmp_path):
    write_whole(tmp_path / 'a.json', '{}')
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / 'a.json', 'what cannot be written: \ud800')
    assert (tmp_path / 'a.json').read_text() == '{}'


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_collection(tmp_path):
    """As the system does it that runs out of memory; the episodes that are there stay."""
    arguments = ['--out', str(tmp_path), '--episodes', '400', '--steps', '2', '--workers', '1']

    def kill():
        while not list(tmp_path.glob('*.npz')):
            sleep(0.1)
        for child in psutil.Process().children(recursive=True):
            if 'spawn_main' in ' '.join(child.cmdline()):
                child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(BrokenProcessPool):
        collect.main(arguments)
    killer.join()
    assert list(tmp_path.glob('*.npz'))


def run_training(data, out, steps, *more):
    train.main(
        [
            '--data',
            str(data),
            '--out',
            str(out),
            '--model',
            'tiny-ac',
            '--device',
            'cpu',
            '--batch',
            '4',
            '--encoder-steps',
            str(steps),
            '--predictor-steps',
            str(steps),
            *more,
        ]
    )


@pytest.mark.slow
def test_training_writes_a_model_that_loads_and_resumes_exactly(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, TINY.name, TINY)
    data = random_episodes(tmp_path / 'data')
    run_training(data, tmp_path / 'whole', 6)
    model = load_world_model(
        'tiny-ac',
        device='cpu',
        dtype='float32',
        checkpoint=tmp_path / 'whole' / 'tiny-ac.safetensors',
    )
    frames = read_episodes(data).frames[0]
    assert model.encode(frames).shape == (5, 4, 48)

    # Another one that begins with its encoder.
    file = tmp_path / 'whole' / 'tiny-ac.safetensors'
    run_training(data, tmp_path / 'other', 1, '--encoder', str(file), '--encoder-steps', '0')
    written = tmp_path / 'other' / 'tiny-ac.safetensors'
    other = load_world_model('tiny-ac', device='cpu', dtype='float32', checkpoint=written)
    assert torch.equal(other.encode(frames), model.encode(frames))

    # The same run, killed in the fourth step of the encoder and started again.
    monkeypatch.setattr(train, 'SAVE_EVERY', 0.0)
    forward, calls = EncoderTraining.forward, []

    def killed(self, *batch):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(self, *batch)

    monkeypatch.setattr(EncoderTraining, 'forward', killed)
    with pytest.raises(KeyboardInterrupt):
        run_training(data, tmp_path / 'parts', 6)
    run_training(data, tmp_path / 'parts', 6)
    assert len(calls) == 4 + 3  # the three finished steps were not done again
    again = load_world_model(
        'tiny-ac',
        device='cpu',
        dtype='float32',
        checkpoint=tmp_path / 'parts' / 'tiny-ac.safetensors',
    )
    for part in ('encoder', 'predictor'):
        for (key, one), other in zip(
            getattr(model, part).state_dict().items(), getattr(again, part).state_dict().values()
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=0, msg=key)
    with open(tmp_path / 'whole' / 'predictor.csv') as file:
        rows = list(csv.DictReader(file))
    assert [row['step'] for row in rows] == ['0', '5']
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())


def test_learning_rate_warms_up_and_falls_to_nothing():
    rates = [train.learning_rate(step, 1000, 1e-3) for step in range(1000)]
    assert np.argmax(rates) == train.WARMUP - 1
    assert rates[0] < 1e-5 and rates[-1] < 1e-8
    assert max(rates) == pytest.approx(0.5e-3 * (1 + np.cos(np.pi * 0.199)), rel=1e-3)


@pytest.mark.slow
def test_a_decoder_learns_goes_on_and_is_written_for_its_model(tmp_path, capsys):
    collect.main(['--out', str(tmp_path / 'data'), '--episodes', '3', '--steps', '4'])
    words = ['--data', str(tmp_path / 'data'), '--out', str(tmp_path / 'run'), '--dim', '64']
    words += ['--depth', '1', '--batch', '8']
    train_decoder.main([*words, '--steps', '40'])
    train_decoder.main([*words, '--steps', '60'])
    with open(tmp_path / 'run' / 'decoder.csv') as log:
        rows = list(csv.DictReader(log))
    assert [int(row['step']) for row in rows] == [0, 39, 59]  # the second run went on
    assert float(rows[-1]['pixels']) < float(rows[0]['pixels'])
    path = tmp_path / 'run' / 'sim-panda-ac.decoder.safetensors'
    load_decoder(path, model_spec('sim-panda-ac'), torch.device('cpu'), torch.float32)
    assert 'predicted' in capsys.readouterr().out
