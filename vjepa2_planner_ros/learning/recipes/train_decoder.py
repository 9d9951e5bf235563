# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the decoder that draws what a model expects to see; the model itself stays as it is.

It learns to draw frames from their latents, as JEPA-WM's decoders do (arXiv 2512.24497), and as
often from the latents that the model predicted of them: these are blurred, and drawn as if they
were seen, the arm has hardly moved in them. Pixels that differ from the middle of their episode,
most of them of the arm, count more. It checkpoints every minute and goes on from there. At the end
the errors on held-out episodes are printed: of pictures drawn from what was seen, from what was
predicted, and of the frame before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
import torch
from torch import nn, Tensor
from tqdm import tqdm

from .episodes import Episodes, read_episodes
from .train import HELD_OUT, train
from ...world_model import load_world_model, ModelSpec, poses, VJepa2WorldModel
from ...world_model.decoder import DecoderSize, load_decoder, PictureDecoder
from ...world_model.preprocessing import normalise

MOVED = 8.0  # weight of a pixel that differs by one deviation, beside 1 of one that does not
EDGES = 1.0  # weight of the differences of neighbouring pixels, without which edges are soft


class DecoderTraining(nn.Module):
    """A decoder whose forward returns its losses."""

    def __init__(self, spec: ModelSpec, dim: int, depth: int):
        super().__init__()
        side, patch = spec.grid[0], spec.encoder.patch_size
        self.decoder = PictureDecoder(
            DecoderSize(spec.encoder.dim, dim, depth, 4 * dim, side, patch)
        )
        nn.init.normal_(self.decoder.decoder_pos_embed, std=0.5)

    def forward(self, frames: Tensor, usual: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """
        Return the losses of a batch.

        :param frames, usual: uint8 [B, size, size, 3] RGB: to be drawn, and the middle of their
            episodes.
        :param latents: [B, N, D] of the frames.
        """
        target, still = (normalise(x.permute(0, 3, 1, 2).float()) for x in (frames, usual))
        weight = 1.0 + MOVED * (target - still).abs().mean(1, keepdim=True).clamp(max=1.0)
        miss = self.decoder(latents.float()) - target
        pixels = (weight * miss.abs()).mean() / weight.mean()
        edges = miss.diff(dim=2).abs().mean() + miss.diff(dim=3).abs().mean()
        return {'loss': pixels + EDGES * edges, 'pixels': pixels, 'edges': edges}


def errors(
    model: VJepa2WorldModel, decoder: PictureDecoder, episodes: Episodes
) -> dict[str, float]:
    """Return mean absolute errors, 0..255, of pictures of episodes; see the module."""
    found: dict[str, list[float]] = {'seen': [], 'predicted': [], 'frame before': []}
    each = zip(episodes.frames, episodes.states)
    for frames, states in tqdm(each, desc='errors', total=len(episodes.frames), mininterval=5):
        for t, latents in enumerate(latents_of(model, frames, states)):
            pictures = (*decoder.pictures(latents), frames[t])
            for name, picture in zip(found, pictures):
                found[name].append(np.abs(picture.astype(float) - frames[t + 1]).mean())
    return {name: float(np.mean(values)) for name, values in found.items()}


def latents_of(model: VJepa2WorldModel, frames: np.ndarray, states: np.ndarray) -> Tensor:
    """
    Return the latents [T - 1, 2, N, D] of frames but the first: seen, and predicted from before.

    :param frames: uint8 [T, size, size, 3] RGB of one episode; states: [T, 7] at them.
    """
    seen, poses_at = model.encode(frames), torch.from_numpy(states).double()
    actions = poses.difference(poses_at[:-1], poses_at[1:]).float()
    predicted = [
        model.rollout(seen[t : t + 1], states[t : t + 1], action[None, None])
        for t, action in enumerate(actions)
    ]
    return torch.stack([seen[1:], torch.cat(predicted)], dim=1)


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='folder of collected episodes')
    parser.add_argument('--out', type=Path, required=True, help='folder of checkpoints and logs')
    parser.add_argument('--model', default='sim-panda-ac')
    parser.add_argument('--checkpoint', type=Path, help='weights instead of the packaged ones')
    parser.add_argument('--dim', type=int, default=192, help='channels, a multiple of 64')
    parser.add_argument('--depth', type=int, default=4, help='blocks')
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--batch', type=int, default=32, help='frames a step')
    parser.add_argument('--rate', type=float, default=1.5e-3)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args(args)
    options.out.mkdir(parents=True, exist_ok=True)
    model = load_world_model(options.model, checkpoint=options.checkpoint, dtype='float32')
    episodes = read_episodes(options.data)
    torch.manual_seed(options.seed)
    module = DecoderTraining(model.spec, options.dim, options.depth).to(model.device)
    held_out = fit(module, model, episodes, options)
    target = options.out / f'{options.model}.decoder.safetensors'
    weights = {k: v.half().cpu().contiguous() for k, v in module.decoder.state_dict().items()}
    save_file(weights, target, {'model': options.model})
    decoder = load_decoder(target, model.spec, model.device, torch.float32)
    rest = Episodes(
        episodes.frames[held_out:], episodes.states[held_out:], episodes.tips[held_out:]
    )
    print('  '.join(f'{k} {v:.2f}' for k, v in errors(model, decoder, rest).items()), 'of 255')
    print(f'wrote {target}')


def fit(module: DecoderTraining, model: VJepa2WorldModel, episodes: Episodes, options) -> int:
    """Train on all but the last episodes; return the first of these."""
    each = zip(episodes.frames, episodes.states)
    bar = tqdm(each, desc='latents', total=len(episodes.frames), mininterval=5)
    latents = torch.stack([latents_of(model, *pair).bfloat16().cpu() for pair in bar])
    frames = torch.from_numpy(episodes.frames)
    usual, frames = torch.stack([x.median(dim=0).values for x in frames]), frames[:, 1:]
    count, length, kinds = latents.shape[:3]
    training = min(count - 1, round(count * (1.0 - HELD_OUT)))

    def batch_of(low, high, size, generator):
        episode = torch.randint(low, high, (size,), generator=generator)
        time = torch.randint(length, (size,), generator=generator)
        kind = torch.randint(kinds, (size,), generator=generator)
        parts = frames[episode, time], usual[episode], latents[episode, time, kind]
        return tuple(part.to(model.device) for part in parts)

    def draw(generator: torch.Generator):
        return batch_of(0, training, options.batch, generator)

    fixed = batch_of(training, count, 128, torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def metrics():
        return {f'val_{name}': float(value) for name, value in module(*fixed).items()}

    train(
        module,
        draw,
        metrics,
        steps=options.steps,
        peak_rate=options.rate,
        path=options.out / 'decoder.pt',
        seed=options.seed,
    )
    return training


if __name__ == '__main__':
    main()
