# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A world model without a predictor: a camera on the hand, over a plane.

A model that is only an encoder knows nothing of motion. Where the camera rides on the hand and
the scene is roughly a plane (a table), geometry does: a translation of the end effector moves the
camera, and what it sees then is the current picture, warped by the homography that the plane
induces between the two views (Hartley and Zisserman, Multiple View Geometry, section 13.1).
The warped picture is encoded, and candidates are compared in latent space as with any model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from . import preprocessing
from .model import VJepa2WorldModel
from .poses import euler_to_matrix

TRANSLATION_BOUND = 0.05  # m per axis and step: what leaves and enters the picture stays small
CLEARANCE = 0.02  # m, of the camera above the plane; nearer ones are no candidates
BEHIND = 1e-3  # share of a point's depth that is left when it comes to lie behind the camera


@dataclass(frozen=True)
class HandCamera:
    """
    A camera without distortion that moves with the end effector, and the plane it looks at.

    :param intrinsics: fx, fy, cx, cy in pixels of its frames; whole numbers are the centres of
        pixels, as in sensor_msgs/CameraInfo.
    :param mount: pose of its optical frame (x right, y down, z ahead) in the frame of the end
        effector: x y z [m], roll pitch yaw [rad, fixed axes].
    :param plane_height: z [m] of the horizontal plane in the robot base frame.
    """

    intrinsics: tuple[float, float, float, float]
    mount: tuple[float, float, float, float, float, float]
    plane_height: float = 0.0

    def __post_init__(self) -> None:
        fx, fy, cx, cy = self.intrinsics
        if not (np.isfinite((fx, fy, cx, cy)).all() and fx > 0.0 and fy > 0.0):
            raise ValueError(
                f'intrinsics are {list(self.intrinsics)}; allowed: fx fy cx cy in '
                'pixels, finite, fx and fy above 0'
            )
        if len(self.mount) != 6 or not np.isfinite(self.mount).all():
            raise ValueError(f'mount is {list(self.mount)}; allowed: six finite numbers')

    def pose(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return position [3] and rotation [3, 3] in the base frame at a state [7]."""
        mount = torch.as_tensor(self.mount, dtype=state.dtype)
        hand = euler_to_matrix(state[3:6])
        return state[:3] + hand @ mount[:3], hand @ euler_to_matrix(mount[3:])

    def height(self, state: ArrayLike | Tensor) -> float:
        """Return how far the camera is above the plane [m] at a state [7]."""
        position, _ = self.pose(torch.as_tensor(state, dtype=torch.float64))
        return float(position[2]) - self.plane_height


class GeometricWorldModel:
    """
    The encoder of a model with a HandCamera for dynamics; see model.WorldModel.

    It plans translations alone: the bounds of rotation and gripper are 0.

    :param crop: the part of its frames that the encoder sees; '' = the model's own.
    """

    action_dim = 3
    action_bounds = (TRANSLATION_BOUND,) * 3 + (0.0,) * 4
    search_axes = ('x', 'y', 'z')

    def __init__(self, model: VJepa2WorldModel, camera: HandCamera, crop: preprocessing.Crop = ''):
        self.model, self.camera = model, camera
        self.crop = crop or model.spec.crop
        self.name, self.frame_period = model.name, model.frame_period
        self.device, self.dtype, self.cost = model.device, model.dtype, model.cost
        self.encode, self.model_input = model.encode, model.model_input

    def observe(self, frames: ArrayLike | Tensor, crop: preprocessing.Crop = '') -> Tensor:
        """
        Return uint8 frames [T, H, W, 3] RGB as float32 pixels [T, 3, H, W], 0..255, whole.

        Whole and not as the encoder sees them, so that a frame is sampled only once, and what
        the crop leaves out can come into view.
        """
        pixels = torch.as_tensor(np.asarray(frames)).to(self.device)
        return pixels.permute(0, 3, 1, 2).float()

    @torch.inference_mode()
    def rollout(self, context: Tensor, states: ArrayLike, actions: ArrayLike | Tensor) -> Tensor:
        """
        Return the layer-normed latents [S, N, D] seen after translations by actions [S, H, 7].

        Only the last frame of the context and its state matter, and only the sum of a candidate's
        translations. A candidate that brings the camera to the plane or through it has latents of
        NaN, which planning leaves out.
        """
        state = torch.as_tensor(states, dtype=torch.float64)[-1]
        moves = torch.as_tensor(actions)[..., :3].cpu().double().sum(dim=1)
        latents = self.model.in_batches(
            lambda batch: self.model.encode_pixels(self.warp(context[-1], state, batch)),
            moves,
            self.batch_size(),
        )
        below = self.camera.height(state) + moves[:, 2] < CLEARANCE
        return latents.masked_fill(below.to(latents.device)[:, None, None], torch.nan)

    def warp(self, frame: Tensor, state: Tensor, moves: Tensor) -> Tensor:
        """
        Return what the encoder would see after moves, float32 [S, 3, size, size], 0..255.

        :param frame: [3, H, W] pixels seen now.
        :param state: float64 [7] of the end effector now.
        :param moves: float64 [S, 3] translations [m, base frame].

        What comes into view from outside the frame takes the colour at its border: a constant
        colour would be an edge that no picture of a goal has.
        """
        _, rows, columns = frame.shape
        extent = torch.tensor([columns, rows], device=frame.device)
        pixels = self.points((rows, columns), state, moves)
        grid = (2.0 * pixels + 1.0) / extent - 1.0
        size = self.model.spec.image_size
        return F.grid_sample(
            frame.expand(len(moves), -1, -1, -1),
            grid.unflatten(1, (size, size)),
            mode='bilinear',
            padding_mode='border',
            align_corners=False,
        )

    def points(self, shape: tuple[int, int], state: Tensor, moves: Tensor) -> Tensor:
        """
        Return where in a frame lies what the encoder sees after moves.

        :param shape: rows and columns of the frame; state and moves as in warp.
        :return: float32 [S, size * size, 2] x (right), y (down) in pixels.

        A ray d of the new view meets the plane at height h below it after h / -d_z; seen from
        now that point lies along d + move (-d_z) / h. Rays that never meet the plane belong to
        what is far away and stays where it is.
        """
        position, rotation = self.camera.pose(state)
        rays = self._rays(shape, rotation)  # [P, 3]
        into_pixels = self._matrix() @ rotation.mT  # from the base frame
        descent = (-rays[:, 2]).clamp(min=0.0)
        height = (position[2] + moves[:, 2] - self.camera.plane_height).clamp(min=CLEARANCE)
        here, shift, share = (
            value.float().to(self.device)
            for value in (rays @ into_pixels.mT, moves @ into_pixels.mT / height[:, None], descent)
        )
        seen = here + shift[:, None] * share[:, None]  # [S, P, 3]
        return seen[..., :2] / seen[..., 2:].clamp(min=BEHIND)

    def _matrix(self) -> Tensor:
        fx, fy, cx, cy = self.camera.intrinsics
        return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)

    def _rays(self, shape: tuple[int, int], rotation: Tensor) -> Tensor:
        """
        Return the rays [size * size, 3] in the base frame of the pixels that the encoder sees.

        Their depth along the optical axis is 1. The pixels lie where preprocessing samples a
        frame of that shape (rows, columns).
        """
        size = self.model.spec.image_size
        top, left, rows, columns = preprocessing.crop_box(*shape, self.crop)
        step = (torch.arange(size, dtype=torch.float64) + 0.5) / size
        y, x = torch.meshgrid(top + rows * step - 0.5, left + columns * step - 0.5, indexing='ij')
        pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1).flatten(0, 1)
        return pixels @ self._matrix().inverse().mT @ rotation.mT

    def batch_size(self) -> int:
        """Return how many candidates are warped and encoded at once."""
        # On top of encoding float32 numbers a pixel: where it lies (homogeneous, divided, scaled),
        # its colour, warped and normalised.
        needed = self.model.picture_bytes() + 13 * 4 * self.model.spec.image_size**2
        return max(1, self.model.working_memory() // needed)
