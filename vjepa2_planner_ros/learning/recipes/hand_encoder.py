# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train a small encoder for the simulator's wrist camera, to plan with geometry (sim-panda).

It learns what planning asks of it: that the energy between the picture warped for a move and the
picture of the goal grows with how far the move is from the right one, in pixels. What a warp
cannot get right (the height of objects, the hand's shadow, what was out of sight) it thereby
learns to overlook. Scenes are drawn as in collect; those of the evaluations are not among them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn, Tensor
from tqdm import tqdm

from .collect import random_state
from .evaluate_3dof import hand_camera
from .train import train
from ...simulation import PandaSim, WORKSPACE
from ...world_model import model_spec, VJepa2WorldModel
from ...world_model.checkpoints import write_safetensors
from ...world_model.geometric import GeometricWorldModel, TRANSLATION_BOUND
from ...world_model.model import layer_norm
from ...world_model.networks import VisionTransformer
from ...world_model.preprocessing import crop_and_resize, normalise

FRAMES = 6  # a scene
SPREAD = 0.05  # m, of the frames of a scene about their centre, each axis
CANDIDATES = 8  # a pair of frames
REACH = 16.0  # pixels of the model's input, in which the wanted energy rises to 1 - 1/e
HELD_OUT = 32  # scenes for the figures of the log


def collect_scene(sim: PandaSim, seed: int):
    """Return frames uint8 [FRAMES, H, W, 3] and states [FRAMES, 7] that differ by translation."""
    rng = np.random.default_rng([seed, 3])
    sim.reset(seed)
    low, high = np.transpose(WORKSPACE)
    states = np.tile(random_state(rng), (FRAMES, 1))
    states[:, :3] = np.clip(states[:, :3] + rng.uniform(-SPREAD, SPREAD, (FRAMES, 3)), low, high)
    frames = []
    for state in states:
        sim.set_state(state)
        frames.append(sim.render().copy())
    return np.stack(frames), states


def collect(folder: Path, scenes: int, sim: PandaSim) -> None:
    """Write the scenes that are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in tqdm(range(scenes), desc='scenes'):
        path = folder / f'scene_{seed:07d}.npz'
        if not path.exists():
            frames, states = collect_scene(sim, seed)
            partial = path.with_suffix('.partial')
            with open(partial, 'wb') as file:
                np.savez(file, frames=frames, states=states)
            partial.replace(path)


class HandEncoderTraining(nn.Module):
    """The encoder with the loss on its energies."""

    def __init__(self, encoder: VisionTransformer):
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """
        Return the losses of a batch.

        :param pictures: [B, C + 1, 3, size, size], 0..255: warped for C candidates, then the goal.
        :param wanted: [B, C] energies.
        """
        return {'loss': (self.energies(pictures) - wanted).abs().mean()}

    def energies(self, pictures: Tensor) -> Tensor:
        """Return the energies [B, C] of pictures as in forward."""
        latents = layer_norm(self.encoder(normalise(pictures.flatten(0, 1))))
        latents = latents.unflatten(0, pictures.shape[:2])
        return (latents[:, :-1] - latents[:, -1:]).abs().mean((2, 3))


class Pairs:
    """Draws current frame, goal frame and candidate moves from collected scenes."""

    def __init__(self, files: list[Path], model: GeometricWorldModel):
        self.files, self.model = files, model
        self.spec = model.model.spec

    def batch(self, generator: torch.Generator, size: int):
        """Return pictures and wanted energies as in HandEncoderTraining.forward."""
        scenes = torch.randint(len(self.files), (size,), generator=generator)
        pairs = [self.pair(self.files[scene], generator) for scene in scenes]
        return tuple(torch.stack(part) for part in zip(*pairs))

    def pair(self, file: Path, generator: torch.Generator):
        """Return pictures [C + 1, 3, size, size] and wanted energies [C] of one scene."""
        with np.load(file) as scene:
            frames, states = scene['frames'], torch.from_numpy(scene['states'])
        now, then = torch.randperm(len(frames), generator=generator)[:2].tolist()
        move = states[then, :3] - states[now, :3]
        moves = self.candidates(move, generator)
        frame = self.model.observe(frames[now : now + 1])[0]
        goal = crop_and_resize(frames[then : then + 1], self.spec.image_size, self.spec.crop)
        points = self.model.points(frame.shape[1:], states[now], torch.cat([moves, move[None]]))
        scale = self.spec.image_size / min(frame.shape[1:])
        shift = scale * (points[:-1] - points[-1]).norm(dim=-1).mean(dim=1)
        pictures = torch.cat([self.model.warp(frame, states[now], moves), goal])
        # Other colours and light, the same for all pictures of a pair.
        gain = 0.7 + 0.6 * torch.rand(3, 1, 1, generator=generator)
        order = torch.randperm(3, generator=generator)
        pictures = (pictures[:, order] * gain).clamp(max=255.0)
        return pictures, 1.0 - torch.exp(-shift.float() / REACH)

    @staticmethod
    def candidates(move: Tensor, generator: torch.Generator) -> Tensor:
        """Return moves [C, 3] within the bounds: none, some near the right one, some anywhere."""

        def uniform(count):
            return 2.0 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1.0

        near = move + uniform(4) * torch.tensor([0.005, 0.015, 0.015, 0.03])[:, None]
        moves = torch.cat([torch.zeros(1, 3), near, TRANSLATION_BOUND * uniform(CANDIDATES - 5)])
        return moves.clamp(-TRANSLATION_BOUND, TRANSLATION_BOUND)


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', type=Path, required=True, help='folder of the scenes')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--scenes', type=int, default=1200, help='collected if not there yet')
    parser.add_argument('--steps', type=int, default=2000)
    parser.add_argument('--batch', type=int, default=8, help='pairs a step')
    parser.add_argument('--rate', type=float, default=1e-3, help='highest learning rate')
    parser.add_argument('--model', default='sim-panda')
    options = parser.parse_args(args)
    spec = model_spec(options.model)
    torch.manual_seed(0)
    encoder = VisionTransformer(spec.encoder)
    with PandaSim(camera='wrist') as sim:
        sim.casts_shadow = True  # to learn to overlook what moves along with the camera
        collect(options.data, options.scenes, sim)
        model = GeometricWorldModel(VJepa2WorldModel(spec, encoder, None), hand_camera(sim))
    files = sorted(options.data.glob('scene_*.npz'))
    encoder.requires_grad_(True)
    module = HandEncoderTraining(encoder)
    pairs = Pairs(files[HELD_OUT:], model)
    held_out = Pairs(files[:HELD_OUT], model).batch(torch.Generator().manual_seed(1), 2 * HELD_OUT)

    @torch.inference_mode()
    def metrics():
        return {'val_loss': float(module(*held_out)['loss'])}

    options.out.mkdir(parents=True, exist_ok=True)
    train(
        module,
        lambda generator: pairs.batch(generator, options.batch),
        metrics,
        steps=options.steps,
        peak_rate=options.rate,
        path=options.out / 'hand_encoder.pt',
        seed=0,
    )
    write_safetensors(
        options.out / f'{spec.name}.safetensors',
        encoder,
        None,
        torch.bfloat16,
        {'model': spec.name},
    )


if __name__ == '__main__':
    main()
