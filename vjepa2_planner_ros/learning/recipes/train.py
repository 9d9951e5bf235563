# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train a small world model on collected episodes: first the encoder, then the predictor.

Both stages write a checkpoint every minute and go on from it; losses go to ``encoder.csv`` and
``predictor.csv`` beside it. The result is ``<model>.safetensors``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import csv
from math import cos, pi
from pathlib import Path
from time import monotonic

import torch
from torch import nn, Tensor
from tqdm import tqdm

from .encoder import encoder_metrics, EncoderTraining
from .episodes import Episodes, read_episodes
from .predictor import fold_normalisation, predictor_metrics, PredictorTraining, WINDOW
from ...world_model import load_world_model, model_spec, ModelSpec, poses
from ...world_model.checkpoints import write_safetensors
from ...world_model.devices import pick_device
from ...world_model.model import layer_norm
from ...world_model.preprocessing import normalise

HELD_OUT = 0.04  # share of episodes kept for the validation figures in the logs
LOG_EVERY = 100  # steps
SAVE_EVERY = 60.0  # s
WARMUP = 200  # steps
VALIDATION_BATCH = 128  # windows


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to nothing."""
    return peak * min(1.0, (step + 1) / WARMUP) * 0.5 * (1.0 + cos(pi * step / steps))


def train(
    module: nn.Module,
    batch: Callable[[torch.Generator], tuple[Tensor, ...]],
    metrics: Callable[[], dict[str, float]],
    *,
    steps: int,
    peak_rate: float,
    path: Path,
    seed: int,
) -> None:
    """
    Train a module whose forward returns its losses, resuming from ``path`` where it exists.

    :param batch: draws the arguments of module.forward.
    :param metrics: validation figures for the log.
    """
    device = next(module.parameters()).device
    # On CPUs the backward pass is slower in bfloat16 than in float32 at these sizes.
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda')
    decay = [p for p in module.parameters() if p.ndim > 1]
    other = [p for p in module.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{'params': decay, 'weight_decay': 0.02}, {'params': other, 'weight_decay': 0.0}],
        betas=(0.9, 0.98),
    )
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    first = 0
    if path.exists():
        saved = torch.load(path, map_location='cpu', weights_only=True)
        module.load_state_dict(saved['module'])
        optimizer.load_state_dict(saved['optimizer'])
        generator.set_state(saved['generator'])
        torch.set_rng_state(saved['torch_generator'])
        first = saved['step']
    drop_rows(path.with_suffix('.csv'), first)

    def save(step):
        partial = path.with_suffix('.partial')
        torch.save(
            {
                'module': module.state_dict(),
                'optimizer': optimizer.state_dict(),
                'generator': generator.get_state(),
                'step': step,
                'torch_generator': torch.get_rng_state(),
            },
            partial,
        )
        partial.replace(path)

    saved_at = monotonic()
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=path.stem, mininterval=5)
    for step in bar:
        for group in optimizer.param_groups:
            group['lr'] = learning_rate(step, steps, peak_rate)
        with autocast:
            losses = module(*batch(generator))
        optimizer.zero_grad(set_to_none=True)
        losses['loss'].backward()
        # Weights that are no numbers must not get into the checkpoint.
        nn.utils.clip_grad_norm_(module.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()
        if step % LOG_EVERY == 0 or step == steps - 1:
            with autocast:
                figures = {name: float(loss.detach()) for name, loss in losses.items()}
                row = {'step': step, **figures, **metrics()}
            append_row(path.with_suffix('.csv'), row)
            bar.set_postfix({k: f'{v:.4g}' for k, v in row.items() if k != 'step'})
        if monotonic() - saved_at > SAVE_EVERY:
            save(step + 1)
            saved_at = monotonic()
    if first < steps:
        save(steps)


def drop_rows(path: Path, first: int) -> None:
    """Remove the rows of a CSV log from a step on, which are logged again."""
    if path.exists():
        rows = path.read_bytes().splitlines(keepends=True)
        kept = [row for row in rows[1:] if int(row.split(b',')[0]) < first]
        path.write_bytes(b''.join([*rows[:1], *kept]))


def append_row(path: Path, row: dict) -> None:
    """Append a row to a CSV log, with its header if the log is new."""
    new = not path.exists()
    with open(path, 'a', newline='') as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)


class Data:
    """Episodes as tensors, with normalised states, split into training and held-out."""

    def __init__(self, episodes: Episodes, spec: ModelSpec, device: torch.device):
        states = torch.from_numpy(episodes.states).double()
        self.actions = poses.difference(states[:, :-1], states[:, 1:]).float()
        reference = torch.tensor(spec.reference_rotation or (0.0, 0.0, 0.0)).double()
        states = poses.rotate_from(states, reference).float()
        self.state_mean, self.state_std = states.mean((0, 1)), states.std((0, 1))
        self.action_scale = torch.tensor(spec.action_bounds)
        self.states = (states - self.state_mean) / self.state_std
        self.actions /= self.action_scale
        self.frames = torch.from_numpy(episodes.frames)
        self.tips = torch.from_numpy(episodes.tips)
        self.training = min(len(states) - 1, round(len(states) * (1.0 - HELD_OUT)))
        self.device = device

    def gather(self, source: Tensor, episode: Tensor, start: Tensor, length: int) -> Tensor:
        """Return [B, length, ...] consecutive entries of an [E, T, ...] tensor."""
        index = start[:, None] + torch.arange(length)
        return source[episode[:, None], index].to(self.device)

    def draw(self, generator: torch.Generator, count: int, length: int):
        """Draw episodes [count] and start frames [count] of windows for training."""
        episode = torch.randint(self.training, (count,), generator=generator)
        last = self.states.shape[1] - length + 1
        return episode, torch.randint(last, (count,), generator=generator)

    def held_out(self, length: int):
        """Return episodes and start frames of a fixed validation batch."""
        generator = torch.Generator().manual_seed(0)
        count = len(self.states) - self.training
        episode = torch.randint(count, (VALIDATION_BATCH,), generator=generator) + self.training
        last = self.states.shape[1] - length + 1
        return episode, torch.randint(last, (VALIDATION_BATCH,), generator=generator)


def train_encoder(data: Data, spec: ModelSpec, options) -> EncoderTraining:
    """Train the encoder and return it with its heads."""
    torch.manual_seed(options.seed)
    module = EncoderTraining(spec).to(data.device)
    if options.encoder:
        known = load_world_model(
            spec.name, checkpoint=options.encoder, dtype='float32', device='cpu'
        )
        module.encoder.load_state_dict(known.encoder.state_dict())

    def frames_at(episode, start):
        """Return pairs of neighbouring frames: what differs in a pair is what has moved."""
        return tuple(
            data.gather(source, episode, start, 2).flatten(0, 1)
            for source in (data.frames, data.states, data.tips)
        )

    held_out = frames_at(*data.held_out(2))
    train(
        module,
        lambda g: frames_at(*data.draw(g, options.batch // 2, 2)),
        lambda: encoder_metrics(module, *held_out),
        steps=options.encoder_steps,
        peak_rate=options.encoder_rate,
        path=options.out / 'encoder.pt',
        seed=options.seed,
    )
    return module


@torch.inference_mode()
def encode_all(data: Data, module: EncoderTraining, batch: int = 256) -> Tensor:
    """Return the layer-normed latents [E, T, N, D] of all frames in bfloat16."""
    encoder = module.encoder.eval()
    frames = data.frames.flatten(0, 1)
    latents = None
    for first in tqdm(range(0, len(frames), batch), desc='encode', mininterval=5):
        images = normalise(
            frames[first : first + batch].to(data.device).permute(0, 3, 1, 2).float()
        )
        encoded = layer_norm(encoder(images)).bfloat16().cpu()
        if latents is None:
            latents = torch.empty(len(frames), *encoded.shape[1:], dtype=torch.bfloat16)
        latents[first : first + batch] = encoded
    return latents.unflatten(0, data.frames.shape[:2])


def train_predictor(data: Data, latents: Tensor, spec: ModelSpec, options) -> PredictorTraining:
    """Train the predictor on the latents [E, T, N, D] of the frozen encoder."""
    torch.manual_seed(options.seed + 1)
    module = PredictorTraining(spec).to(data.device)

    def windows_at(episode, start):
        return (
            data.gather(latents, episode, start, WINDOW).float(),
            data.gather(data.actions, episode, start, WINDOW - 1),
            data.gather(data.states, episode, start, WINDOW),
        )

    held_out = windows_at(*data.held_out(WINDOW))
    train(
        module,
        lambda g: windows_at(*data.draw(g, options.batch, WINDOW)),
        lambda: predictor_metrics(module, *held_out),
        steps=options.predictor_steps,
        peak_rate=options.predictor_rate,
        path=options.out / 'predictor.pt',
        seed=options.seed + 1,
    )
    return module


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='folder of the episodes')
    parser.add_argument('--out', type=Path, required=True, help='folder of checkpoints and logs')
    parser.add_argument('--model', default='sim-panda-ac')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--batch', type=int, default=64, help='frames or windows a step')
    parser.add_argument(
        '--encoder', type=Path, metavar='FILE', help='weights whose encoder is where to begin'
    )
    parser.add_argument('--encoder-steps', type=int, default=12000)
    parser.add_argument('--encoder-rate', type=float, default=1e-3)
    parser.add_argument('--predictor-steps', type=int, default=12000)
    parser.add_argument('--predictor-rate', type=float, default=1e-3)
    options = parser.parse_args(args)
    options.out.mkdir(parents=True, exist_ok=True)
    spec = model_spec(options.model)
    data = Data(read_episodes(options.data), spec, pick_device(options.device))
    encoder = train_encoder(data, spec, options)
    latents = encode_all(data, encoder)
    predictor = train_predictor(data, latents, spec, options).predictor.cpu()
    fold_normalisation(predictor, data.action_scale, data.state_mean, data.state_std)
    target = options.out / f'{spec.name}.safetensors'
    write_safetensors(target, encoder.encoder, predictor, torch.float16, {'model': spec.name})
    print(f'wrote {target}')


if __name__ == '__main__':
    main()
