# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""What differs from seed to seed: objects, colours, textures and light; never camera or robot."""

import colorsys

import mujoco
import numpy as np
from numpy.random import Generator

from .scene import CAMERA_POSITION, CUBES, CUP_HEIGHT, CUP_RADIUS, WORKSPACE
from .textures import TEXTURES

Range = tuple[float, float]
OBJECT_AREA = ((0.18, 0.78), (-0.48, 0.42))
CUBE_HALF_SIZE = (0.015, 0.025)
CUBE_DENSITY = 300.0
CUP_CLEARANCE = 0.13  # m, of the cup's axis from the workspace, so that the hand passes it
BASE_CLEARANCE = 0.16
BETWEEN = (0.3, 0.6)  # where objects hide the arm, as a share of the way from it to the camera


def vary_scene(model: mujoco.MjModel, data: mujoco.MjData, seed: int) -> None:
    """Set everything in model and data that depends on the seed; nothing is recompiled."""
    rng = np.random.default_rng(seed)
    mujoco.mj_resetData(model, data)
    _vary_cubes(model, rng)
    _place_objects(model, data, rng)
    _vary_surfaces(model, rng)
    _vary_light(model, rng)


def hang_objects(model: mujoco.MjModel, data: mujoco.MjData, seed: int) -> None:
    """Hang the cup and the cubes between the workspace and the fixed camera."""
    rng = np.random.default_rng([seed, 3])
    for name in ('cup', *(f'cube{i}' for i in range(CUBES))):
        arm = rng.uniform(*np.transpose(WORKSPACE))
        place = arm + rng.uniform(*BETWEEN) * (CAMERA_POSITION - arm)
        data.joint(model.body(name).jntadr[0]).qpos[:3] = place


def _colour(rng: Generator, saturation: Range, value: Range) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def _vary_cubes(model: mujoco.MjModel, rng: Generator) -> None:
    for i in range(CUBES):
        geom, body = model.geom(f'cube{i}'), model.body(f'cube{i}').id
        half = rng.uniform(*CUBE_HALF_SIZE)
        geom.size[:] = half
        geom.rbound[:] = half * np.sqrt(3)
        model.geom_aabb[geom.id, 3:] = half
        mass = CUBE_DENSITY * (2 * half) ** 3
        model.body_mass[body] = mass
        model.body_inertia[body] = mass * (2 * half) ** 2 / 6
        geom.rgba[:3] = _colour(rng, (0.5, 1.0), (0.4, 0.95))
    model.geom('cup').rgba[:3] = _colour(rng, (0.1, 0.9), (0.35, 0.95))
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _place_objects(model: mujoco.MjModel, data: mujoco.MjData, rng: Generator) -> None:
    """Put the objects upright on the table, apart from each other and from the robot's foot."""
    placed: list[tuple[float, float, float]] = []
    for name in ('cup', *(f'cube{i}' for i in range(CUBES))):
        is_cup = name == 'cup'
        radius = CUP_RADIUS if is_cup else model.geom(name).rbound[0]
        height = CUP_HEIGHT / 2 if is_cup else model.geom(name).size[2]
        while True:
            x, y = (rng.uniform(low, high) for low, high in OBJECT_AREA)
            free = all(np.hypot(x - a, y - b) > radius + r + 0.01 for a, b, r in placed)
            if is_cup and _in_workspace(x, y, CUP_CLEARANCE):
                continue
            if free and np.hypot(x, y) > BASE_CLEARANCE:
                break
        placed.append((x, y, radius))
        yaw = rng.uniform(-np.pi, np.pi)
        pose = x, y, height, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        data.joint(model.body(name).jntadr[0]).qpos[:] = pose


def _in_workspace(x: float, y: float, margin: float) -> bool:
    return all(
        low - margin < value < high + margin for value, (low, high) in zip((x, y), WORKSPACE)
    )


def _vary_surfaces(model: mujoco.MjModel, rng: Generator) -> None:
    for use, geoms, saturation, value in (
        ('table', ('table',), (0.0, 0.45), (0.35, 0.85)),
        ('wall', ('wall_side', 'wall_back'), (0.0, 0.3), (0.45, 0.9)),
    ):
        material = model.material(f'{use}{rng.integers(len(TEXTURES))}').id
        model.mat_rgba[material, :3] = _colour(rng, saturation, value)
        for name in geoms:
            model.geom(name).matid[:] = material


def _vary_light(model: mujoco.MjModel, rng: Generator) -> None:
    key, fill = model.light('key'), model.light('fill')
    azimuth, slope = rng.uniform(-np.pi, np.pi), rng.uniform(0.05, 0.45)
    direction = np.array([slope * np.cos(azimuth), slope * np.sin(azimuth), -1.0])
    key.dir[:] = direction / np.linalg.norm(direction)
    warmth = rng.uniform(-0.08, 0.08) * np.array([1, 0, -1])
    key.diffuse[:] = rng.uniform(0.4, 0.65) + warmth
    key.specular[:] = 0.2
    direction = np.array([-1.0, rng.uniform(-1.0, 0.3), rng.uniform(-1.0, -0.3)])
    fill.dir[:] = direction / np.linalg.norm(direction)
    fill.diffuse[:] = rng.uniform(0.1, 0.3)
    fill.specular[:] = 0
    model.vis.headlight.ambient[:] = rng.uniform(0.22, 0.34)
