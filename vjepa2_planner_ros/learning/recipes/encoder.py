# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the small encoder learns from: masked pictures and the state of the arm.

Masked-latent prediction with a moving-average teacher collapses on a static camera and little
data, so the small encoder is anchored instead: it reconstructs masked patches (He et al.,
arXiv 2111.06377), every token regresses the proprioceptive state, and every token says whether a
finger tip is in its patch and where. The second loss makes the distance of latents grow evenly
with the distance of poses, also where the arm's pixels do not overlap. The third finds the
fingers, which are a few pixels wide: without it the closedness is hardly learned. The decoder and
the heads are thrown away.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from ...world_model.catalogue import ModelSpec
from ...world_model.model import layer_norm
from ...world_model.networks import Block, VisionTransformer
from ...world_model.preprocessing import normalise
from ...world_model.rotary import patch_positions, rotary_table

VISIBLE = 20 / 64  # share of patches the masked pass sees
DECODER_DEPTH = 1
STATE_WEIGHT = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0)
FOUND_WEIGHT = 0.1  # of finding the patches of the tips against placing the tips in them
NEAR = 1.0  # patches from the centre, so far a token places a tip


class EncoderTraining(nn.Module):
    """An encoder with a patch decoder and a state head for training."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        size = spec.encoder
        self.grid, self.patch_size = spec.grid, size.patch_size
        self.encoder = VisionTransformer(size)
        self.mask_token = nn.Parameter(torch.zeros(size.dim))
        self.decoder = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(DECODER_DEPTH)
        )
        self.to_pixels = nn.Linear(size.dim, 3 * size.patch_size**2)
        self.to_state = nn.Linear(size.dim, 7)
        self.to_tips = nn.Linear(size.dim, 6)
        centres = patch_positions(*self.grid, 0)[:, [2, 1]] + 0.5
        self.register_buffer('centres', centres, persistent=False)  # [N, 2] x, y in patches

    def forward(self, frames: Tensor, states: Tensor, tips: Tensor) -> dict[str, Tensor]:
        """
        Return the losses of a batch.

        :param frames: uint8 [B, size, size, 3] RGB.
        :param states: [B, 7], normalised, rotation relative to the model's reference.
        :param tips: [B, 2, 2] x, y of both finger tips in shares of the picture.
        """
        images = normalise(frames.permute(0, 3, 1, 2).float())
        latents = layer_norm(self.encoder(images))
        weight = torch.tensor(STATE_WEIGHT, device=states.device)
        state = ((self.to_state(latents) - states[:, None]).abs() * weight).mean()
        tip = self.tip_loss(latents, tips)
        # Neighbouring frames share their scene; one of each pair is enough.
        pixels = self.reconstruction_loss(images[::2])
        return {'loss': pixels + state + tip, 'pixels': pixels, 'state': state, 'tips': tip}

    def tip_loss(self, latents: Tensor, tips: Tensor) -> Tensor:
        """Return how badly the tokens [B, N, D] find the finger tips [B, 2, 2]."""
        found, offset = self.read_tips(latents)
        wanted = tips[:, None] * tips.new_tensor(self.grid[::-1]) - self.centres[:, None]
        distance = wanted.abs().amax(-1)  # [B, N, 2]
        finding = F.binary_cross_entropy_with_logits(
            found, (distance < 0.5).to(found.dtype), reduction='sum'
        ) / len(latents)
        near = distance < NEAR
        placing = ((offset - wanted).abs().sum(-1) * near).sum() / near.sum().clamp(min=1)
        return FOUND_WEIGHT * finding + placing

    def read_tips(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, N, 2] of a tip in a patch and its place [B, N, 2, 2] from there."""
        found, offset = self.to_tips(latents).unflatten(-1, (2, 3)).split([1, 2], dim=-1)
        return found.squeeze(-1), offset

    def reconstruction_loss(self, images: Tensor) -> Tensor:
        """Return the mean absolute error of the pixels of hidden patches."""
        patches = F.pixel_unshuffle(images, self.patch_size).flatten(2).mT  # [B, N, 3 P P]
        batch, count, _ = patches.shape
        # Of the CPU's generator, which checkpoints have.
        order = torch.rand(batch, count).argsort(dim=1).to(images.device)
        visible = round(VISIBLE * count)
        seen = self.encoder(images, keep=order[:, :visible])
        hidden = self.mask_token.to(seen.dtype).expand(batch, count - visible, -1)
        x = torch.cat([seen, hidden], dim=1)
        cos, sin = rotary_table(
            patch_positions(*self.grid, 0, images.device),
            self.encoder.head_dim,
            self.encoder.heads,
        )
        table = cos.to(x.dtype)[order], sin.to(x.dtype)[order]
        for block in self.decoder:
            x, _ = block(x, table)
        target = patches.gather(1, order[:, visible:, None].expand(-1, -1, patches.shape[-1]))
        return (self.to_pixels(x[:, visible:]) - target).abs().mean()


@torch.inference_mode()
def encoder_metrics(
    module: EncoderTraining, frames: Tensor, states: Tensor, tips: Tensor
) -> dict[str, float]:
    """
    Measure the encoder on held-out frames, with states and tips as in EncoderTraining.forward.

    val_position, val_rotation and val_gripper are in standard deviations, val_tips is in patches.
    channel_std and rank tell of collapse: the deviation of a channel over pictures (0 when every
    picture has the same latents) and the effective rank (exponential of the entropy of the
    spectrum) of the mean token.
    """
    latents = layer_norm(module.encoder(normalise(frames.permute(0, 3, 1, 2).float())))
    predicted = module.to_state(latents).mean(dim=1)
    spectrum = torch.linalg.svdvals((latents - latents.mean(0)).mean(1).float()) ** 2
    share = spectrum / spectrum.sum()
    error = (predicted - states).abs().mean(0)
    found, offset = module.read_tips(latents)
    best = found.argmax(dim=1)  # [B, 2]
    each = torch.arange(len(best), device=best.device)[:, None]
    place = module.centres[best] + offset[each, best, torch.arange(2, device=best.device)]
    missed = (place - tips * tips.new_tensor(module.grid[::-1])).norm(dim=-1).mean()
    return {
        'val_position': float(error[:3].mean()),
        'val_rotation': float(error[3:6].mean()),
        'val_gripper': float(error[6]),
        'val_tips': float(missed),
        'channel_std': float(latents.std(dim=0).mean()),
        'rank': float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum())),
    }
