# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the small predictor learns from: the latents of the next frames, given states and actions.

As V-JEPA 2-AC (arXiv 2506.09985): the encoder is frozen, the loss is the mean
absolute difference of layer-normed latents, by teacher forcing over a window plus a rollout of
two steps. The frames go through the same cached steps as in planning.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor

from ...world_model.catalogue import ModelSpec
from ...world_model.model import layer_norm
from ...world_model.networks import ActionConditionedPredictor

WINDOW = 4  # frames: three predictions by teacher forcing
RESIDUAL_INIT = 1e-3


class PredictorTraining(nn.Module):
    """A predictor that starts as the identity: the first prediction is that nothing changes."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.predictor = ActionConditionedPredictor(spec.encoder.dim, spec.predictor, spec.grid)
        with torch.no_grad():
            for linear in (self.predictor.predictor_embed, self.predictor.predictor_proj):
                nn.init.eye_(linear.weight)
                nn.init.zeros_(linear.bias)
            for block in self.predictor.predictor_blocks:
                for linear in (block.attn.proj, block.mlp.fc2):
                    nn.init.normal_(linear.weight, std=RESIDUAL_INIT)
                    nn.init.zeros_(linear.bias)

    def forward(self, latents: Tensor, actions: Tensor, states: Tensor) -> dict[str, Tensor]:
        """
        Return the losses of a batch of windows.

        :param latents: [B, WINDOW, N, D] layer-normed; actions [B, WINDOW - 1, 7] and states
            [B, WINDOW, 7] normalised.
        """
        cache, caches, predictions = None, [], []
        for t in range(WINDOW - 1):
            predicted, cache = self.predictor.step(
                latents[:, t], actions[:, t], states[:, t], t, cache
            )
            predictions.append(layer_norm(predicted.float()))
            caches.append(cache)
        forced = (torch.stack(predictions, dim=1) - latents[:, 1:]).abs()
        predicted, _ = self.predictor.step(
            predictions[0], actions[:, 1], states[:, 1], 1, caches[0], keep_cache=False
        )
        rollout = (layer_norm(predicted.float()) - latents[:, 2]).abs().mean()
        return {
            'loss': forced.mean() + rollout,
            'one_step': forced[:, 0].mean(),
            'forced': forced.mean(),
            'rollout': rollout,
        }


@torch.inference_mode()
def predictor_metrics(
    module: PredictorTraining, latents: Tensor, actions: Tensor, states: Tensor
) -> dict[str, float]:
    """Compare held-out predictions with copying the frame and with the wrong action."""
    losses = module(latents, actions, states)
    wrong = module(latents, actions.roll(1, dims=0), states)
    return {
        'val_one_step': float(losses['one_step']),
        'val_rollout': float(losses['rollout']),
        'val_copy': float((latents[:, 1] - latents[:, 0]).abs().mean()),
        'val_wrong_action': float(wrong['one_step']),
    }


@torch.no_grad()
def fold_normalisation(
    predictor: ActionConditionedPredictor,
    action_scale: Tensor,
    state_mean: Tensor,
    state_std: Tensor,
) -> None:
    """
    Change the predictor in place so that it takes actions and states in m, rad and closedness.

    Training feeds actions / action_scale and (states - state_mean) / state_std; a linear layer
    absorbs both exactly.
    """
    predictor.action_encoder.weight /= action_scale
    predictor.state_encoder.weight /= state_std
    predictor.state_encoder.bias -= predictor.state_encoder.weight @ state_mean
