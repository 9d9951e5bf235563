# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The robot as tf and URDF see it: frames, joints and simple shapes, read from the model."""

from collections.abc import Iterable
from typing import NamedTuple
from xml.etree.ElementTree import Element, indent, SubElement, tostring

import mujoco
import numpy as np

from .kinematics import DOWN, matrix_to_euler

BASE_FRAME = 'panda_link0'


class Frame(NamedTuple):
    """A frame on its parent, and the joint between them: '' if it is fixed."""

    parent: str
    name: str
    joint: str = ''


FRAMES = (
    *(Frame(f'panda_link{i - 1}', f'panda_link{i}', f'panda_joint{i}') for i in range(1, 8)),
    Frame('panda_link7', 'panda_link8'),
    Frame('panda_link8', 'panda_hand'),
    Frame('panda_hand', 'panda_leftfinger', 'panda_finger_joint1'),
    Frame('panda_hand', 'panda_rightfinger', 'panda_finger_joint2'),
    Frame('panda_hand', 'panda_hand_tcp'),
    Frame('panda_hand', 'wrist_camera'),  # cameras: x right, y down, z ahead
    Frame(BASE_FRAME, 'fixed_camera'),
)
JOINTS = tuple(frame.joint for frame in FRAMES if frame.joint)
SPEEDS = (2.175,) * 4 + (2.61,) * 3 + (0.2,) * 2  # rad/s and m/s, by the vendor's data sheet

# Capsules that follow the meshes: start and end of the axis (m, in the link's frame), radius (m).
_FINGER = (
    ((0, 0.018, 0.014), (0, 0.016, 0.022), 0.009),
    ((0, 0.016, 0.005), (0, 0.007, 0.046), 0.008),
)
SHAPES = {
    'panda_link0': (((-0.09, 0, 0.04), (0, 0, 0.045), 0.055), ((0, 0, 0.05), (0, 0, 0.09), 0.06)),
    'panda_link1': (
        ((0, 0, -0.155), (0, -0.06, -0.02), 0.052),
        ((0, -0.045, 0), (0, -0.075, 0), 0.056),
    ),
    'panda_link2': (((0, -0.15, 0), (0, 0.005, 0.062), 0.055),),
    'panda_link3': (
        ((0, 0, -0.08), (0, 0, -0.065), 0.054),
        ((0.083, 0.06, 0), (0.083, 0.042, 0), 0.053),
        ((0.06, 0.055, -0.013), (0.06, 0.037, -0.013), 0.042),
    ),
    'panda_link4': (
        ((0, 0, 0.045), (0, 0, 0.052), 0.057),
        ((-0.083, 0.082, 0), (-0.083, 0.078, 0), 0.055),
        ((0.012, 0.014, 0.072), (-0.087, 0.045, -0.01), 0.032),
    ),
    'panda_link5': (
        ((0, 0, -0.222), (0, 0.02, -0.21), 0.051),
        ((0, 0.066, -0.185), (0, 0.098, -0.045), 0.027),
        ((0, 0.053, 0), (0, 0.084, 0), 0.05),
    ),
    'panda_link6': (
        ((-0.009, 0, 0.018), (0.027, 0.005, 0.02), 0.04),
        ((0.086, -0.017, 0), (0.084, 0.039, 0), 0.044),
    ),
    'panda_link7': (
        ((0, 0, 0.07), (0, 0, 0.075), 0.04),
        ((0, 0, 0.078), (0.05, 0.05, 0.08), 0.022),
    ),
    'panda_hand': (((0, -0.078, 0.027), (0, 0.078, 0.028), 0.029),),
    'panda_leftfinger': _FINGER,
    'panda_rightfinger': _FINGER,
}
COLOURS = {'white': '0.93 0.93 0.91 1', 'orange': '0.95 0.42 0.08 1'}


class Transform(NamedTuple):
    """Pose of a frame in its parent: position [3] (m) and rotation [3, 3]."""

    frame: Frame
    position: np.ndarray
    rotation: np.ndarray


def transforms(data: mujoco.MjData) -> list[Transform]:
    """Return the pose of every frame of FRAMES in its parent, after mj_kinematics."""
    poses = {f'panda_link{i}': data.body(f'link{i}') for i in range(8)}
    poses |= {
        'panda_hand': data.body('hand'),
        'panda_leftfinger': data.body('finger1'),
        'panda_rightfinger': data.body('finger2'),
        'panda_hand_tcp': data.site('end_effector'),
        'wrist_camera': data.camera('wrist'),
        'fixed_camera': data.camera('fixed'),
    }
    found = {name: (pose.xpos, pose.xmat.reshape(3, 3)) for name, pose in poses.items()}
    # The flange is where the hand is, not turned; MuJoCo's cameras look along -z.
    found['panda_link8'] = found['panda_hand'][0], found['panda_link7'][1]
    for name in ('wrist_camera', 'fixed_camera'):
        found[name] = found[name][0], found[name][1] @ DOWN
    result = []
    for frame in FRAMES:
        (origin, axes), (position, rotation) = found[frame.parent], found[frame.name]
        result.append(Transform(frame, axes.T @ (position - origin), axes.T @ rotation))
    return result


def transforms_at_rest(model: mujoco.MjModel) -> list[Transform]:
    """Return the pose of every frame in its parent where all joints are at 0."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)  # the cameras too
    return transforms(data)


def robot_description(model: mujoco.MjModel) -> str:
    """Return the URDF of the robot and its cameras, with shapes of cylinders and spheres."""
    robot = Element('robot', name='panda')
    for name, colour in COLOURS.items():
        SubElement(SubElement(robot, 'material', name=name), 'color', rgba=colour)
    for name in (BASE_FRAME, *(frame.name for frame in FRAMES)):
        link = SubElement(robot, 'link', name=name)
        for start, end, radius in SHAPES.get(name, ()):
            _add_capsule(link, np.array(start), np.array(end), radius)
    for transform in transforms_at_rest(model):
        _add_joint(robot, model, transform)
    indent(robot)
    return tostring(robot, encoding='unicode')


def _add_joint(robot: Element, model: mujoco.MjModel, transform: Transform) -> None:
    parent, child, name = transform.frame
    kind = 'fixed' if not name else 'prismatic' if 'finger' in name else 'revolute'
    joint = SubElement(robot, 'joint', name=name or f'{child}_joint', type=kind)
    _add_origin(joint, transform.position, matrix_to_euler(transform.rotation))
    SubElement(joint, 'parent', link=parent)
    SubElement(joint, 'child', link=child)
    if name:
        i = JOINTS.index(name)
        effort = model.actuator_forcerange[min(i, 7), 1]  # one actuator moves both fingers
        limits = *model.joint(name).range, effort, SPEEDS[i]
        names = 'lower', 'upper', 'effort', 'velocity'
        SubElement(joint, 'axis', xyz=_text(model.joint(name).axis))
        SubElement(joint, 'limit', dict(zip(names, _text(limits).split())))
    if name == JOINTS[-1]:
        SubElement(joint, 'mimic', joint=JOINTS[-2])


def _add_capsule(link: Element, start: np.ndarray, end: np.ndarray, radius: float) -> None:
    x, y, z = axis = end - start
    turn = 0.0, np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)  # of the cylinder's axis, z
    ball = {'radius': f'{radius:.9g}'}
    tube = {**ball, 'length': f'{np.linalg.norm(axis):.9g}'}
    for kind, size, position, rpy in (
        ('cylinder', tube, (start + end) / 2, turn),
        ('sphere', ball, start, (0, 0, 0)),
        ('sphere', ball, end, (0, 0, 0)),
    ):
        visual = SubElement(link, 'visual')
        _add_origin(visual, position, rpy)
        SubElement(SubElement(visual, 'geometry'), kind, size)
        colour = 'orange' if 'finger' in link.attrib['name'] else 'white'
        SubElement(visual, 'material', name=colour)


def _add_origin(element: Element, position: np.ndarray, rpy: Iterable[float]) -> None:
    SubElement(element, 'origin', xyz=_text(position), rpy=_text(rpy))


def _text(numbers: Iterable[float]) -> str:
    return ' '.join(f'{round(float(x), 9) + 0.0:.12g}' for x in numbers)  # no -0, no 1e-17
