# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From latents back to a picture: what a model expects to see, for people.

Planning does not use it. A decoder is a small network of its own, trained by the recipe
train_decoder, in a file beside the weights of its model: NAME.decoder.safetensors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import nn, Tensor

from .errors import ModelLoadError

SUFFIX = '.decoder.safetensors'
WIDTH = 96  # channels at the latents' resolution
SIZES = ('dim', 'side', 'patch', 'width')


class Decoder(nn.Module):
    """
    Convolutions that double the resolution until a patch of the latents is one of pixels.

    :param dim: of a latent.
    :param side: latents in a row of the picture.
    :param patch: pixels in a row of a latent's patch, a power of 2.
    :param width: channels at the latents' resolution; halved, to 24 at least, at each doubling.
    :param model: name of the model whose latents it takes.
    :param error: usual mean absolute difference, 0..255, of a picture decoded from predicted
        latents from the one that was seen.
    """

    def __init__(
        self,
        dim: int,
        side: int,
        patch: int,
        width: int = WIDTH,
        model: str = '',
        error: float = 0.0,
    ):
        super().__init__()
        self.sizes = {'dim': dim, 'side': side, 'patch': patch, 'width': width}
        self.side, self.model, self.error = side, model, error
        self.entry = nn.Linear(dim, width)
        self.blocks = nn.ModuleList()
        while patch > 1:
            after = max(width // 2, 24) if patch > 2 else 3
            self.blocks.append(
                nn.Sequential(
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.GELU(),
                    nn.Conv2d(width, 4 * after, 3, padding=1),
                    nn.PixelShuffle(2),
                )
            )
            width, patch = after, patch // 2

    def forward(self, latents: Tensor) -> Tensor:
        """Return pixels [S, 3, size, size], about 0..1, of latents [S, N, D]."""
        pixels: Tensor = self.entry(latents).mT.unflatten(2, (self.side, self.side))
        for block in self.blocks:
            pixels = block(nn.functional.gelu(pixels))
        return torch.sigmoid(pixels)

    @torch.inference_mode()
    def picture(self, latents: Tensor) -> NDArray[np.uint8]:
        """Return the picture, uint8 [size, size, 3] RGB, of latents [N, D]."""
        pixels = self(latents[None].float().to(self.entry.weight))[0]
        found: NDArray[np.uint8] = (255.0 * pixels).round().byte().permute(1, 2, 0).cpu().numpy()
        return found


def write_decoder(path: Path, decoder: Decoder) -> None:
    """Write a decoder, in half the precision, whole or not at all."""
    metadata = {name: str(size) for name, size in decoder.sizes.items()}
    metadata |= {'model': decoder.model, 'error': f'{decoder.error:.2f}'}
    partial = path.with_name(path.name + '.partial')
    weights = {name: value.half().contiguous() for name, value in decoder.state_dict().items()}
    save_file(weights, partial, metadata)
    partial.replace(path)


def find_decoder(weights: Path, model: str) -> Decoder | None:
    """
    Return the decoder beside a file of weights, None if there is none of this model.

    ModelLoadError: the file is damaged.
    """
    path = weights.with_name(weights.name.partition('.')[0] + SUFFIX)
    if not path.is_file():
        return None
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        sizes = {name: int(metadata[name]) for name in SIZES}
        decoder = Decoder(**sizes, model=metadata['model'], error=float(metadata['error']))
        decoder.load_state_dict(state)
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        raise ModelLoadError(f'{path} is no decoder: {error}') from error
    return decoder.eval().requires_grad_(False) if decoder.model == model else None
