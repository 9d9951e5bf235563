# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the decoder that shows what a model expects to see; the model itself stays as it is.

Half of the latents are those of frames, half are predicted from the frame before with the action
that was made; the picture to decode is the frame that was seen. Pixels that change between the
frames, most of them of the arm, count more. One episode in ten is held out for the figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .episodes import read_episodes
from ...world_model import load_world_model, poses
from ...world_model.decoder import Decoder, write_decoder

BATCH = 16
CHANGED = 10.0  # weight of a pixel that changes from black to white, beside 1 of one that stays


def pairs(model, episodes):
    """Return frames before and after [E, T, ...], and latents seen and predicted [E, T, N, D]."""
    seen, predicted = [], []
    bar = tqdm(episodes.frames, desc='latents', disable=None)
    for frames, states in zip(bar, episodes.states):
        latents = model.encode(frames)
        tensor = torch.from_numpy(states).double()
        actions = poses.difference(tensor[:-1], tensor[1:]).float()
        found = [
            model.rollout(latents[t : t + 1], states[t : t + 1], actions[t][None, None])[0]
            for t in range(len(actions))
        ]
        seen.append(latents[1:].half().cpu())
        predicted.append(torch.stack(found).half().cpu())
    before, after = episodes.frames[:, :-1], episodes.frames[:, 1:]
    return before, after, torch.stack(seen), torch.stack(predicted)


def to_pixels(frames: np.ndarray) -> torch.Tensor:
    """Return pixels [B, 3, size, size], 0..1, of uint8 frames [B, size, size, 3]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255.0


def train(decoder: Decoder, data, steps: int, seed: int = 0) -> None:
    """Train a decoder on pairs()."""
    before, after, seen, predicted = data
    episodes, length = before.shape[:2]
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    rng = np.random.default_rng(seed)
    bar = tqdm(range(steps), desc='decoder', disable=None)
    for step in bar:
        rows, times = rng.integers(episodes, size=BATCH), rng.integers(length, size=BATCH)
        source = predicted if step % 2 else seen
        target, old = to_pixels(after[rows, times]), to_pixels(before[rows, times])
        weight = 1.0 + CHANGED * (target - old).abs()
        miss = (decoder(source[rows, times].float()) - target).abs()
        loss = (weight * miss).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(error=f'{255.0 * miss.mean().item():.2f}')


@torch.inference_mode()
def errors(decoder: Decoder, data) -> dict[str, float]:
    """Return mean absolute errors, 0..255, of pictures of pairs()."""
    before, after, seen, predicted = data
    found: dict[str, list[float]] = {'seen': [], 'predicted': [], 'copied': []}
    for row in range(len(before)):
        target = to_pixels(after[row])
        for name, picture in (
            ('seen', decoder(seen[row].float())),
            ('predicted', decoder(predicted[row].float())),
            ('copied', to_pixels(before[row])),
        ):
            found[name].append(255.0 * float((picture - target).abs().mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='episodes of collect')
    parser.add_argument('--out', type=Path, required=True, help='NAME.decoder.safetensors')
    parser.add_argument('--model', default='sim-panda-ac')
    parser.add_argument('--checkpoint', type=Path, help='weights instead of the packaged ones')
    parser.add_argument('--steps', type=int, default=3000)
    options = parser.parse_args(args)
    model = load_world_model(options.model, checkpoint=options.checkpoint, dtype='float32')
    data = pairs(model, read_episodes(options.data))
    held_out = max(len(data[0]) // 10, 1)
    spec = model.spec
    torch.manual_seed(0)
    decoder = Decoder(
        spec.encoder.dim, spec.grid[0], spec.encoder.patch_size, model=options.model
    )
    train(decoder, [part[held_out:] for part in data], options.steps)
    figures = errors(decoder.eval(), [part[:held_out] for part in data])
    print('  '.join(f'{name}={value:.2f}' for name, value in figures.items()))
    decoder.error = figures['predicted']
    write_decoder(options.out, decoder)


if __name__ == '__main__':
    main()
