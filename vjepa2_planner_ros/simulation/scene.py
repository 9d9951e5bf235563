# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""
The scene: a Panda on a table with a cup and cubes, a fixed camera and one on the hand.

World frame = panda_link0, the foot of the robot, whose mounting plane is the table top (z = 0).
The model is compiled once; variation.vary_scene() changes what depends on the seed in place.
"""

from collections.abc import Iterable

import mujoco
import numpy as np

from .meshes import Mesh, panda_meshes
from .textures import TEXTURES

WORKSPACE = ((0.32, 0.62), (-0.25, 0.25), (0.08, 0.40))
CUBES = 5
CUP_RADIUS, CUP_HEIGHT = 0.038, 0.09
CAMERA_POSITION = (1.35, 0.75, 0.62)  # front left, so that opening and height show
CAMERA_TARGET = (0.441, 0.0, 0.243)
CAMERA_FOV = 31.5  # degrees: the workspace just fills the picture
TOOL_LENGTH = 0.1034  # m, from the flange of the hand to the point between the finger tips
# Pose of the wrist camera's optical frame (x right, y down, z ahead) in the end effector's frame,
# m and rad: before the hand, looking past the fingers, which stay just outside the picture.
WRIST_MOUNT = (0.07, 0.0, -0.08, 0.0, 0.0, np.pi / 2)
WRIST_FOV = 70.0  # degrees
# Joint frames, limits (rad), torques (N m) and identified inertias of the arm, as in the model
# the meshes come with.
JOINTS = (  # offset, quaternion, range, torque, mass (kg)
    ('0 0 0.333', '1 0 0 0', (-2.897, 2.897), 87, 4.970684),
    ('0 0 0', '1 -1 0 0', (-1.7627, 1.7627), 87, 0.646926),
    ('0 -0.316 0', '1 1 0 0', (-2.897, 2.897), 87, 3.228604),
    ('0.0825 0 0', '1 1 0 0', (-3.0717, -0.0698), 87, 3.587895),
    ('-0.0825 0.384 0', '1 -1 0 0', (-2.897, 2.897), 12, 1.225946),
    ('0 0 0', '1 1 0 0', (-0.0174, 3.7524), 12, 1.666555),
    ('0.088 0 0', '1 1 0 0', (-2.897, 2.897), 12, 0.735522),
)
INERTIAS = (  # centre of mass (m), full inertia (kg m2)
    ('0.003875 0.002081 -0.04762', '0.70337 0.70661 0.009117 -0.000139 0.006772 0.019169'),
    ('-0.003141 -0.02872 0.003495', '0.007962 0.02811 0.025995 -0.003925 0.010254 0.000704'),
    ('0.027518 0.039252 -0.066502', '0.037242 0.036155 0.01083 -0.004761 -0.011396 -0.012805'),
    ('-0.05317 0.104419 0.027454', '0.025853 0.019552 0.028323 0.007796 -0.001332 0.008641'),
    ('-0.011953 0.041065 -0.038437', '0.035549 0.029474 0.008627 -0.002117 -0.004037 0.000229'),
    ('0.060149 -0.014117 -0.010517', '0.001964 0.004354 0.005433 0.000109 -0.001158 0.000341'),
    ('0.010517 -0.004252 0.061597', '0.012516 0.010027 0.004815 -0.000428 -0.001196 -0.000741'),
)
SERVO_STIFFNESS = (4500, 4500, 3500, 3500, 2000, 2000, 2000)
SERVO_DAMPING = (180, 180, 150, 150, 40, 40, 40)
HAND = """
<body name="hand" pos="0 0 0.107" quat="0.9238795325 0 0 -0.3826834324" gravcomp="1">
  <inertial pos="-0.01 0 0.03" mass="0.73" diaginertia="0.001 0.0025 0.0017"/>
  {hand}
  <geom class="collision" type="capsule" size="0.035" fromto="0 -0.065 0.025 0 0.065 0.025"/>
  <site name="end_effector" pos="0 0 {tool}" group="5"/>
  <camera name="wrist" pos="{wrist}" xyaxes="0 1 0 1 0 0" fovy="{fov}"/>
  {fingers}
</body>
"""
FINGER = """
<body name="finger{i}" pos="0 0 0.0584" quat="{quat}" gravcomp="1">
  <inertial pos="0 0.01 0.025" mass="0.05" diaginertia="2e-05 2e-05 2e-05"/>
  <joint name="panda_finger_joint{i}" type="slide" axis="0 1 0" range="0 0.04" armature="0.1"
         damping="5" frictionloss="0"/>
  {meshes}
  <geom class="collision" type="box" pos="0 0.0095 0.0435" size="0.0085 0.0095 0.0105"
        friction="1.5 0.02 0.0001" condim="4"/>
</body>
"""
SCENE = """
<mujoco model="panda_table">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.0025" integrator="implicitfast" impratio="5" cone="elliptic"/>
  <statistic extent="1" center="0.45 0 0.2"/>
  <visual>
    <global offwidth="{size}" offheight="{size}"/>
    <quality offsamples="0"/>
    <map znear="0.1" zfar="8"/>
    <headlight ambient="0.3 0.3 0.3" diffuse="0.15 0.15 0.15" specular="0 0 0"/>
  </visual>
  <default>
    <default class="visual"><geom contype="0" conaffinity="0" group="2" mass="0"/></default>
    <default class="collision"><geom group="3" mass="0"/></default>
    <mesh inertia="shell"/>
  </default>
  <asset>{assets}</asset>
  <worldbody>
    <light name="key" type="directional" pos="0.6 0.2 1.5" dir="-0.2 0.1 -1" castshadow="false"/>
    <light name="fill" type="directional" pos="1 1 1" dir="-1 -1 -1" castshadow="false"/>
    <camera name="fixed" pos="{camera}" xyaxes="{axes}" fovy="{fov}"/>
    <geom name="table" type="box" pos="0.45 0 -0.02" size="0.95 0.8 0.02" material="table0"/>
    <geom name="wall_side" class="visual" type="box" pos="0 -1.0 0.4" size="2.5 0.02 1.6"
          material="wall0"/>
    <geom name="wall_back" class="visual" type="box" pos="-0.75 0 0.4" size="0.02 2.5 1.6"
          material="wall0"/>
    <body name="hand_shadow" mocap="true">
      <geom name="hand_shadow" class="visual" type="ellipsoid" size="0.05 0.11 0.0015"
            rgba="0 0 0 0.4"/>
    </body>
    {objects}
    {arm}
  </worldbody>
  <contact>{excludes}</contact>
  <equality>
    <joint joint1="panda_finger_joint1" joint2="panda_finger_joint2" solref="0.005 1"/>
  </equality>
  <actuator>{actuators}</actuator>
</mujoco>
"""


def build_model(image_size: int) -> mujoco.MjModel:
    """Return the compiled mujoco.MjModel; image_size (pixels) is the largest picture."""
    meshes = panda_meshes()
    position, axes = camera_placement()
    spec = mujoco.MjSpec.from_string(
        SCENE.format(
            size=image_size,
            camera=_text(position),
            axes=_text(axes[:, :2].T.ravel()),
            fov=CAMERA_FOV,
            assets=_materials(),
            objects=_objects(),
            arm=_arm(meshes),
            excludes='<exclude body1="finger1" body2="finger2"/>',
            actuators=_actuators(),
        )
    )
    for name, pixels in TEXTURES.items():
        spec.add_texture(
            name=name,
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            width=pixels.shape[1],
            height=pixels.shape[0],
            nchannel=3,
            data=pixels.ravel().tolist(),
        )
    for i, mesh in enumerate(meshes):
        spec.add_mesh(name=f'mesh{i}', uservert=mesh.vertices.ravel(), userface=mesh.faces.ravel())
    vertices, faces = _cup_surface()
    spec.add_mesh(name='cup', uservert=vertices.ravel(), userface=faces.ravel())
    return spec.compile()


def camera_placement(turn: float = 0.0, rise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """
    Return position [3] (m) and axes [3, 3] (columns: right, up, back) of the fixed camera.

    turn is how far it has gone round the middle of the workspace, seen from above against the
    clock (rad), rise how much higher it is (m); it looks at the same point from everywhere.
    """
    (x, y, z), (cos, sin) = (
        np.subtract(CAMERA_POSITION, CAMERA_TARGET),
        (np.cos(turn), np.sin(turn)),
    )
    back = np.array([cos * x - sin * y, sin * x + cos * y, z + rise])
    position = np.add(CAMERA_TARGET, back)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    return position, np.stack([right, np.cross(back, right), back], axis=1)


def _text(numbers: Iterable[float]) -> str:
    return ' '.join(f'{x:.9g}' for x in numbers)


def _materials() -> str:
    """Return one material a texture and use: table0.., wall0.."""
    return '\n'.join(
        f'<material name="{use}{i}" texture="{name}" texuniform="true" texrepeat="{r} {r}" '
        'specular="0.1" shininess="0.1"/>'
        for use, r in (('table', 2), ('wall', 1))
        for i, name in enumerate(TEXTURES)
    )


def _visuals(meshes: list[Mesh], link: str) -> str:
    geoms = []
    for i, mesh in enumerate(meshes):
        if mesh.link == link:
            colour: tuple[float, ...] = tuple(level / 255 for level in mesh.colour)
            if link == 'finger':  # the fingers must stand out in a small picture
                colour = (0.95, 0.42, 0.08) if colour[0] > 0.5 else (0.12, 0.12, 0.12)
            elif min(colour) == 1:
                colour = (0.93, 0.93, 0.91)
            geoms.append(
                f'<geom class="visual" type="mesh" mesh="mesh{i}" rgba="{_text(colour)} 1"/>'
            )
    return '\n'.join(geoms)


def _arm(meshes: list[Mesh]) -> str:
    """Return the nested bodies from link0 to the fingers."""
    fingers = ''.join(
        FINGER.format(i=i, quat=quat, meshes=_visuals(meshes, 'finger'))
        for i, quat in ((1, '1 0 0 0'), (2, '0 0 0 1'))
    )
    body = HAND.format(
        hand=_visuals(meshes, 'hand'),
        fingers=fingers,
        tool=TOOL_LENGTH,
        wrist=_text(np.add(WRIST_MOUNT[:3], (0, 0, TOOL_LENGTH))),
        fov=WRIST_FOV,
    )
    for i in range(7, 0, -1):
        offset, quat, limits, _, mass = JOINTS[i - 1]
        centre, inertia = INERTIAS[i - 1]
        body = f"""
<body name="link{i}" pos="{offset}" quat="{quat}" gravcomp="1">
  <inertial pos="{centre}" mass="{mass}" fullinertia="{inertia}"/>
  <joint name="panda_joint{i}" axis="0 0 1" range="{_text(limits)}" armature="0.1" damping="1"/>
  {_visuals(meshes, f'link{i}')}
  {body}
</body>"""
    return f'<body name="link0">{_visuals(meshes, "link0")}{body}</body>'


def _actuators() -> str:
    arm = ''.join(
        f'<position joint="panda_joint{i}" kp="{SERVO_STIFFNESS[i - 1]}" '
        f'kv="{SERVO_DAMPING[i - 1]}" forcerange="-{JOINTS[i - 1][3]} {JOINTS[i - 1][3]}"/>'
        for i in range(1, 8)
    )
    return arm + (
        '<position joint="panda_finger_joint1" kp="2000" kv="60" '
        'forcerange="-70 70" ctrlrange="0 0.04"/>'
    )


def _objects() -> str:
    cubes = ''.join(
        f'<body name="cube{i}" pos="{i} 0 0"><freejoint/>'
        f'<geom name="cube{i}" type="box" size="0.02 0.02 0.02" density="300" '
        'friction="1 0.01 0.0001" condim="4"/></body>'
        for i in range(CUBES)
    )
    return (
        cubes
        + f"""
<body name="cup" pos="0 1 0"><freejoint/>
  <geom name="cup" class="visual" type="mesh" mesh="cup"/>
  <geom type="cylinder" group="3" size="{CUP_RADIUS} {CUP_HEIGHT / 2}" mass="0.2"/>
</body>"""
    )


def _cup_surface(sides: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and triangles of an open, thick-walled cup centred at the origin."""
    half, wall = CUP_HEIGHT / 2, 0.004
    profile = np.array(
        [
            (0, -half),
            (0.8 * CUP_RADIUS, -half),
            (CUP_RADIUS, half),
            (CUP_RADIUS - wall, half),
            (0.8 * CUP_RADIUS - wall, wall - half),
            (0, wall - half),
        ]
    )
    angle = 2 * np.pi * np.arange(sides) / sides
    vertices = np.stack(
        [
            np.outer(profile[:, 0], np.cos(angle)),
            np.outer(profile[:, 0], np.sin(angle)),
            np.repeat(profile[:, 1:], sides, axis=1),
        ],
        -1,
    ).reshape(-1, 3)
    row, side = np.divmod(np.arange((len(profile) - 1) * sides), sides)
    a, b = row * sides + side, row * sides + (side + 1) % sides
    quads = np.stack([a, b, b + sides, a + sides], -1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    corners = vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    return vertices, faces[area > 1e-9]
