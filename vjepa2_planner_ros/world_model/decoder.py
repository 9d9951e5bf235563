# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From latents back to a picture: what a model expects to see, for people. Planning does not use it.

The decoder and the names of its tensors are those of JEPA-WM's image heads (arXiv 2512.24497,
facebookresearch/jepa-wms), so that their files load: a small transformer with absolute positions
over the latents of one frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from .catalogue import ModelSpec
from .checkpoints import check_fits, read_decoder, Source
from .devices import check_room
from .errors import ModelLoadError
from .layouts import Part
from .networks import Block
from .preprocessing import denormalise
from .reading import load_into, opened

HEAD_DIM = 64  # channels of a head of attention, as in all of JEPA-WM's decoders


@dataclass(frozen=True)
class DecoderSize:
    """
    Size of a decoder.

    latent_dim: channels of a latent; side: patches in a row of the picture it draws, each of
    patch_size pixels; mlp_hidden: width inside each MLP.
    """

    latent_dim: int
    dim: int
    depth: int
    mlp_hidden: int
    side: int
    patch_size: int

    @property
    def image_size(self) -> int:
        """Return the pixels in a row of the picture."""
        return self.side * self.patch_size


class PictureDecoder(nn.Module):
    """Draws the picture whose latents it is given."""

    def __init__(self, size: DecoderSize):
        super().__init__()
        self.size = size
        self.decoder_embed = nn.Linear(size.latent_dim, size.dim)
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, size.side**2, size.dim))
        self.view_tokens = nn.Parameter(torch.zeros(1, 1, size.dim))
        self.decoder_blocks = nn.ModuleList(
            Block(size.dim, size.dim // HEAD_DIM, size.mlp_hidden) for _ in range(size.depth)
        )
        self.decoder_norm = nn.LayerNorm(size.dim)
        self.decoder_proj = nn.Linear(size.dim, 3 * size.patch_size**2)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5  # not 1e-6 as in the encoder

    def forward(self, latents: Tensor) -> Tensor:
        """Return normalised pixels [S, 3, size, size] of layer-normed latents [S, N, D]."""
        side, patch = self.size.side, self.size.patch_size
        x = latents.to(self.decoder_embed.weight.dtype)
        if x.shape[1] != side**2:  # drawn in finer patches than those that were encoded
            seen = isqrt(x.shape[1])
            x = x.mT.unflatten(2, (seen, seen))
            x = F.interpolate(x, (side, side), mode='bilinear', align_corners=False)
            x = x.flatten(2).mT
        x = self.decoder_embed(x) + self.decoder_pos_embed + self.view_tokens
        for block in self.decoder_blocks:
            x, _ = block(x, None)
        x = self.decoder_proj(self.decoder_norm(x))  # [S, side * side, patch * patch * 3]
        x = x.unflatten(2, (patch, patch, 3)).unflatten(1, (side, side))
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(x), 3, side * patch, side * patch)

    @torch.inference_mode()
    def pictures(self, latents: Tensor) -> NDArray[np.uint8]:
        """Return the pictures, uint8 [S, size, size, 3] RGB, of latents [S, N, D]."""
        pixels = denormalise(self(latents.to(self.view_tokens.device)).float())
        return pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def load_decoder(
    path: str | Path, spec: ModelSpec, device: torch.device, dtype: torch.dtype
) -> PictureDecoder:
    """
    Load a decoder of a model's latents from a safetensors file, or from one of JEPA-WM's.

    ModelLoadError: the file is missing, damaged, or of another kind of model. ModelMemoryError:
    the device has no room for it.
    """
    source = Source((Path(path).expanduser(),), ('decoder',))
    with opened(source.paths) as files:
        part = read_decoder(source)
        size = _size(part, source)
        if (size.latent_dim, size.image_size) != (spec.encoder.dim, spec.image_size):
            raise ModelLoadError(
                f'{source} draws {size.image_size} pixels from {size.latent_dim} channels; model '
                f"'{spec.name}' has {spec.image_size} and {spec.encoder.dim}"
            )
        with torch.device('meta'):
            decoder = PictureDecoder(size)
        check_fits(decoder, part, 'decoder', source)
        size_in_memory = sum(one.numel() for one in decoder.parameters()) * dtype.itemsize
        check_room(f"the decoder of '{spec.name}' in {dtype}", size_in_memory, device)
        load_into(decoder, part, device, dtype, lambda count: None, files)
        files.check()
    return decoder.eval().requires_grad_(False)


def _size(part: Part, source: Source) -> DecoderSize:
    """Return the size that a file's tensors have; ModelLoadError if they have none."""
    try:
        dim, latent_dim = part.tensors['decoder_embed.weight'].shape
        blocks = {name.split('.')[1] for name in part.tensors if name.startswith('decoder_blocks')}
        size = DecoderSize(
            latent_dim=latent_dim,
            dim=dim,
            depth=len(blocks),
            mlp_hidden=len(part.tensors['decoder_blocks.0.mlp.fc1.bias']),
            side=isqrt(part.tensors['decoder_pos_embed'].shape[1]),
            patch_size=isqrt(len(part.tensors['decoder_proj.bias']) // 3),
        )
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise ModelLoadError(f'{source} is no decoder of latents: {error}') from error
    if size.dim % HEAD_DIM or not all(vars(size).values()):
        raise ModelLoadError(f'{source} is no decoder of latents: {size}')
    return size
