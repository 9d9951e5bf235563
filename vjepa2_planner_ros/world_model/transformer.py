# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The transformer blocks of V-JEPA 2, for encoder and predictor."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from .fused import attention, linear, norm, packed_block, rotate


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions and an optional key/value cache."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def project(self, x: Tensor, table) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rotated queries and keys and the values of x, each [B, heads, N, hd]."""
        x = linear(x, self.qkv)
        turned, v = x.split([2 * x.shape[-1] // 3, x.shape[-1] // 3], dim=-1)
        qk = rotate(turned, table, v.shape[-1] // self.heads).unflatten(-1, (2, self.heads, -1))
        v = v.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return *qk.permute(2, 0, 3, 1, 4), v

    def forward(self, x: Tensor, table, *, mask=None, past=None):
        """
        Attend within x [B, N, D] and, where given, to the cached frames before it.

        :param past: (keys, values), each [B or 1, heads, M, head_dim], already rotated.
        :return: what the output layer gets, [B, N, D], and the (keys, values) of past and x.
        """
        q, k, v = self.project(x, table)
        if past is not None:
            k, v = (
                torch.cat([old.expand(len(new), -1, -1, -1), new], dim=2)
                for old, new in zip(past, (k, v))
            )
        return attention(q, k, v, mask), (k, v)

    def forward_shared(
        self, own: Tensor, shared: Tensor, table, *, past=None, keep_cache: bool = True
    ):
        """
        Return what forward does of sequences that differ in their first token only.

        A softmax over shared keys and one key more is the mean of the softmax over the shared ones
        and the value of that key, weighted by a logistic function; so what the shared tokens make
        of each other is reckoned once.

        :param own: [B, 1, D], the first token of each sequence; shared: [1, N, D], the others.
        :param past: as in forward, of batch 1.
        """
        own_q, own_k, own_v = self.project(own, [half[:1] for half in table])  # [B, heads, 1, hd]
        q, k, v = self.project(shared, [half[1:] for half in table])  # [1, heads, N, hd]
        keys, values = (
            (k, v)
            if past is None
            else (torch.cat([old, new], dim=2) for old, new in zip(past, (k, v)))
        )
        queries = torch.cat([own_q.transpose(0, 2), q], dim=2)[0].float()  # [heads, B + N, hd]
        queries = queries * queries.shape[-1] ** -0.5
        scores = queries @ keys[0].float().mT  # [heads, B + N, M]
        split = [len(own), shared.shape[1]]
        own_mean, mean = (scores.softmax(-1) @ values[0].float()).transpose(0, 1).split(split)
        own_bar, bar = scores.logsumexp(-1).T.split(split)  # [B, heads], [N, heads]
        own_queries, queries = queries.split(split, dim=1)
        heads_k = own_k[:, :, 0].transpose(0, 1).float()  # [heads, B, hd]
        own_weight = ((own_queries * heads_k).sum(-1).T - own_bar).sigmoid()  # [B, heads]
        weight = ((heads_k @ queries.mT).permute(1, 2, 0) - bar).sigmoid()  # [B, N, heads]
        own_v = own_v.transpose(1, 2)  # [B, 1, heads, hd]
        dtype = own.dtype
        out = torch.cat(
            [
                torch.lerp(
                    own_mean[:, None].to(dtype), own_v, own_weight[:, None, :, None].to(dtype)
                ),
                torch.lerp(mean.to(dtype), own_v, weight[..., None].to(dtype)),
            ],
            dim=1,
        ).flatten(2)
        cache = (
            None
            if not keep_cache
            else tuple(
                torch.cat([mine, theirs.expand(len(own), -1, -1, -1)], dim=2)
                for mine, theirs in ((own_k, keys), (own_v.transpose(1, 2), values))
            )
        )
        return out, cache


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return linear(linear(x, self.fc1, gelu=True), self.fc2, residual=residual)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, mlp_hidden: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_hidden)

    def forward(self, x: Tensor, table, *, mask=None, past=None, keep_cache: bool = True):
        """Return the output and the (keys, values), None unless keep_cache; see Attention."""
        kernels = None if mask is not None else packed_block(self, x, table)
        if kernels is not None:
            attended, cache = kernels.attend(x, table, past, keep_cache)
        else:
            attended, cache = self.attn(norm(x, self.norm1), table, mask=mask, past=past)
        return self._finish(attended, x, kernels), cache if keep_cache else None

    def forward_shared(
        self, own: Tensor, shared: Tensor, table, *, past=None, keep_cache: bool = True
    ):
        """Return the same of sequences that differ in their first token; see Attention."""
        x = torch.cat([own, shared.expand(len(own), -1, -1)], dim=1)
        kernels = packed_block(self, x, table)
        if kernels is not None and len(own) < SHARING:
            return self(x, table, past=past, keep_cache=keep_cache)
        attended, cache = self.attn.forward_shared(
            norm(own, self.norm1),
            norm(shared, self.norm1),
            table,
            past=past,
            keep_cache=keep_cache,
        )
        return self._finish(attended, x, kernels), cache

    def _finish(self, attended: Tensor, residual: Tensor, kernels):
        if kernels is not None:
            return kernels.finish(attended, residual)
        x = linear(attended, self.attn.proj, residual=residual)
        return self.mlp(norm(x, self.norm2), residual=x)


SHARING = 32  # sequences: with fewer, the kernels for CPUs are as fast without sharing
