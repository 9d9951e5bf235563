# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the small encoder learns from: masked pictures and the state of the arm.

Masked-latent prediction with a moving-average teacher collapses on a static camera and little
data, so the small encoder is anchored instead: it reconstructs masked patches (He et al.,
arXiv 2111.06377) and every token regresses the proprioceptive state. The second loss makes the
distance of latents grow evenly with the distance of poses, also where the arm's pixels do not
overlap. The decoder and the state head are thrown away.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from ..world_model.catalogue import ModelSpec
from ..world_model.model import layer_norm
from ..world_model.networks import Block, patch_positions, rotary_table, VisionTransformer
from ..world_model.preprocessing import normalise

VISIBLE = 20 / 64  # share of patches the masked pass sees
DECODER_DEPTH = 1
STATE_WEIGHT = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0)  # the fingers are a few pixels wide


class EncoderTraining(nn.Module):
    """An encoder with a patch decoder and a state head for training."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        size = spec.encoder
        self.grid, self.patch_size = spec.grid, size.patch_size
        self.encoder = VisionTransformer(size)
        self.mask_token = nn.Parameter(torch.zeros(size.dim))
        self.decoder = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(DECODER_DEPTH))
        self.to_pixels = nn.Linear(size.dim, 3 * size.patch_size ** 2)
        self.to_state = nn.Linear(size.dim, 7)

    def forward(self, frames: Tensor, states: Tensor) -> dict[str, Tensor]:
        """
        Return the losses of a batch.

        :param frames: uint8 [B, size, size, 3] RGB.
        :param states: [B, 7], normalised, rotation relative to the model's reference.
        """
        images = normalise(frames.permute(0, 3, 1, 2).float())
        predicted = self.to_state(layer_norm(self.encoder(images)))
        weight = torch.tensor(STATE_WEIGHT, device=states.device)
        state = ((predicted - states[:, None]).abs() * weight).mean()
        pixels = self.reconstruction_loss(images)
        return {'loss': pixels + state, 'pixels': pixels, 'state': state}

    def reconstruction_loss(self, images: Tensor) -> Tensor:
        """Return the mean absolute error of the pixels of hidden patches."""
        patches = F.pixel_unshuffle(images, self.patch_size).flatten(2).mT  # [B, N, 3 P P]
        batch, count, _ = patches.shape
        order = torch.rand(batch, count, device=images.device).argsort(dim=1)
        visible = round(VISIBLE * count)
        seen = self.encoder(images, keep=order[:, :visible])
        hidden = self.mask_token.to(seen.dtype).expand(batch, count - visible, -1)
        x = torch.cat([seen, hidden], dim=1)
        cos, sin = rotary_table(
            patch_positions(*self.grid, 0, images.device), self.encoder.head_dim)
        table = cos.to(x.dtype)[order][:, None], sin.to(x.dtype)[order][:, None]
        for block in self.decoder:
            x, _ = block(x, table)
        target = patches.gather(1, order[:, visible:, None].expand(-1, -1, patches.shape[-1]))
        return (self.to_pixels(x[:, visible:]) - target).abs().mean()


@torch.inference_mode()
def encoder_metrics(module: EncoderTraining, frames: Tensor, states: Tensor) -> dict[str, float]:
    """
    Measure the encoder on held-out frames [B, size, size, 3] and normalised states [B, 7].

    channel_std and rank tell of collapse: the deviation of a channel over pictures (0 when every
    picture has the same latents) and the effective rank (exponential of the entropy of the
    spectrum) of the mean token.
    """
    latents = layer_norm(module.encoder(normalise(frames.permute(0, 3, 1, 2).float())))
    predicted = module.to_state(latents).mean(dim=1)
    spectrum = torch.linalg.svdvals((latents - latents.mean(0)).mean(1).float()) ** 2
    share = spectrum / spectrum.sum()
    error = (predicted - states).abs().mean(0)
    return {
        'val_position': float(error[:3].mean()), 'val_rotation': float(error[3:6].mean()),
        'val_gripper': float(error[6]), 'channel_std': float(latents.std(dim=0).mean()),
        'rank': float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum())),
    }
