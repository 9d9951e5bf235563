# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The reference modules of independent packages, with every parameter randomised."""

from functools import partial
import zlib

import numpy as np
from tools.benchmark.peer import reference_modules
import torch


def numbers(name, shape):
    """Return numbers of -0.5..0.5 that follow from a name alone, as float32."""
    count = np.arange(np.prod(shape, dtype=int)) + 1
    wave = 43758.5453 * np.sin(count * 12.9898 + zlib.crc32(name.encode()) % 1000)
    return torch.from_numpy((wave - np.floor(wave) - 0.5).reshape(shape)).float()


def fill(shapes):
    """Return the state dict that the golden outputs were computed with, of names and shapes."""
    return {
        name: 0.5 * numbers(name, tuple(shape)) + (0.5 if len(shape) == 1 else 0.0)
        for name, shape in shapes.items()
    }


def randomise(module, seed=0):
    """Give every parameter of a module random values, also biases and norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.15 * torch.randn(parameter.shape, generator=generator))
            if parameter.ndim == 1:
                parameter.add_(0.5)
    return module.eval()


def reference_encoder(size, image=64, seed=0):
    """Return Meta's encoder of an EncoderSize."""
    vision_transformer, _, _ = reference_modules()
    return randomise(
        vision_transformer(
            img_size=(image, image),
            patch_size=size.patch_size,
            num_frames=8,
            tubelet_size=2,
            embed_dim=size.dim,
            depth=size.depth,
            num_heads=size.heads,
            mlp_ratio=size.mlp_hidden / size.dim,
            qkv_bias=True,
            use_rope=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        ),
        seed,
    )


def reference_predictor(latent_dim, size, image=64, seed=1):
    """Return Meta's predictor of a PredictorSize, whose MLPs are four times as wide as it."""
    _, vit_ac_predictor, _ = reference_modules()
    return randomise(
        vit_ac_predictor(
            img_size=(image, image),
            patch_size=16,
            num_frames=16,
            tubelet_size=2,
            embed_dim=latent_dim,
            predictor_embed_dim=size.dim,
            depth=size.depth,
            num_heads=size.heads,
        ),
        seed,
    )


def transformers_encoder(size, state_dict, image=64):
    """Return the encoder of the transformers package with the weights of a state dict."""
    from transformers import VJEPA2Config, VJEPA2Model

    model = VJEPA2Model(
        VJEPA2Config(
            patch_size=size.patch_size,
            crop_size=image,
            frames_per_clip=2,
            tubelet_size=2,
            hidden_size=size.dim,
            num_hidden_layers=size.depth,
            num_attention_heads=size.heads,
            mlp_ratio=size.mlp_hidden / size.dim,
            pred_hidden_size=48,
            pred_num_hidden_layers=1,
            pred_num_attention_heads=2,
        )
    ).eval()
    renamed = {}
    for key, value in state_dict.items():
        if key.startswith('patch_embed.'):
            renamed[key.replace('patch_embed', 'patch_embeddings')] = value
        elif '.attn.qkv.' in key:
            name = key.replace('blocks.', 'layer.').replace('attn.qkv', 'attention.{}')
            for part, rows in zip(('query', 'key', 'value'), value.chunk(3)):
                renamed[name.format(part)] = rows
        elif key.startswith('blocks.'):
            renamed[key.replace('blocks.', 'layer.').replace('attn.', 'attention.')] = value
        else:
            renamed[key.replace('norm.', 'layernorm.')] = value
    renamed = {
        key.replace('patch_embeddings', 'embeddings.patch_embeddings'): value
        for key, value in renamed.items()
    }
    model.encoder.load_state_dict(renamed)
    return model
