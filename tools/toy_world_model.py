# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A world model whose latents are the end-effector state itself, so the best plan is known."""

import numpy as np
import torch
from vjepa2_planner_ros.world_model import poses


class ToyWorldModel:
    """
    Latents [T, 1, 7] are states; a picture's first seven bytes encode one.

    Translation and closedness move as in a real model, so a goal within the bounds is reached
    exactly by the action that leads to it and the energy there is 0.
    """

    name = 'toy'
    action_dim = 7
    action_bounds = (0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75)
    search_axes = ('x', 'y', 'z', 'gripper')
    cost = 'l1'
    frame_period = 0.25
    device = torch.device('cpu')
    dtype = torch.float32
    memory = 0
    memory_shortages = 0

    def encode(self, frames, crop=''):
        """Return the states [T, 1, 7] that frames [T, H, W, 3] encode, whatever the crop."""
        pixels = torch.as_tensor(np.asarray(frames)).reshape(len(frames), -1)[:, :7].float()
        return ((pixels - 100.0) / 100.0)[:, None]

    def observe(self, frames, crop=''):
        """Return the same."""
        return self.encode(frames, crop)

    def rollout(self, context, states, actions):
        """Return the states [S, 1, 7] after actions [S, H, 7]."""
        actions = torch.as_tensor(actions, dtype=torch.float32)
        state = context[-1].expand(len(actions), -1)
        for action in actions.unbind(1):
            state = poses.compose(state, action)
        return state[:, None]

    def model_input(self, frame, crop=''):
        """Return the frame itself."""
        return np.asarray(frame)

    def drop_weights(self):
        """Do nothing: there are none."""

    @staticmethod
    def picture(state, height=32, width=32):
        """Return the uint8 [height, width, 3] picture that encodes a state, to 0.01."""
        frame = np.zeros((height, width, 3), np.uint8)
        frame.reshape(-1)[:7] = np.round(np.asarray(state) * 100.0 + 100.0)
        return frame
