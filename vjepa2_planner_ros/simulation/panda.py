# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The simulated arm: Cartesian steps in, state and picture out."""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from .description import JOINTS, robot_description, Transform, transforms, transforms_at_rest
from .episodes import check_seed
from .joint_targets import JointTargets
from .kinematics import ARM_JOINTS, ArmKinematics, euler_to_matrix, limit_tilt, matrix_to_euler
from .rendering import make_renderer
from .scene import build_model, CAMERA_FOV, camera_placement, WORKSPACE, WRIST_FOV
from .variation import hang_objects, vary_scene

Pose = tuple[np.ndarray, np.ndarray]  # position [3] (m) and rotation [3, 3]
SLEEP = int(mujoco.mjtEnableBit.mjENBL_SLEEP)  # objects at rest cost no time
MODES = ('kinematic', 'physics')
FIELDS_OF_VIEW = {'fixed': CAMERA_FOV, 'wrist': WRIST_FOV}  # degrees, of each camera
ACTION_BOUNDS = (0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75)
HOME_STATE = (0.47, 0.0, 0.25, np.pi, 0.0, 0.0, 0.0)
FINGER_TIP = (0.0, 0.0095, 0.05)  # m, in the frame of a finger
FINGER_TRAVEL = 0.04  # m, of each finger from closed to open
MAX_FORCE = 70.0  # N, of the servo of the fingers
STEP_TIME = 0.25  # s
MOTION_SHARE = 0.6  # of a step, in which the targets of the servos move; the rest is to settle
SHADOW_DARKNESS = 0.5
SHADOW_REACH = 0.7  # m, height at which the shadow of the hand has faded


class Finger(NamedTuple):
    """The fingers at a moment: mean position (m), force of their servo (N), target moving."""

    position: float
    force: float
    moving: bool


class PandaSim:
    """
    A Franka Panda at a table, seen by a fixed camera or one on its wrist; no ROS.

    State [7]: position (m) of the point between the finger tips and fixed-axis XYZ Euler angles
    (rad) in the frame panda_link0, and the closedness of the gripper, 0 open .. 1 closed.
    Action [7]: displacement (m), Euler angles of the turn (rad; R' = R(d) R, both in the base
    frame), change of closedness. Actions are clipped to ACTION_BOUNDS, the pose they lead to
    to WORKSPACE and to a sane tilt.

    Mode 'kinematic' puts the arm exactly where a step leads and leaves the objects alone; in mode
    'physics' position servos follow, and hand, fingers, objects and table touch each other.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        mode: str = 'kinematic',
        image_size: int = 256,
        step_time: float = STEP_TIME,
        camera: str = 'fixed',
    ) -> None:
        """
        Build the scene of a seed.

        image_size is the edge of the square picture in pixels, step_time the duration (s) of a
        step, camera the one that render() looks through: 'fixed', or 'wrist', which sits on the
        hand at scene.WRIST_MOUNT. ValueError: an argument is out of range.
        """
        _require(mode in MODES, 'mode', mode, ' or '.join(MODES))
        _require(16 <= image_size <= 2048, 'image_size', image_size, '16 to 2048 pixels')
        _require(0.05 <= step_time <= 10, 'step_time', step_time, '0.05 to 10 s')
        _require(camera in FIELDS_OF_VIEW, 'camera', camera, ' or '.join(FIELDS_OF_VIEW))
        self.camera = camera
        # The painted shadow is made to be seen from afar; from the hand it is a hard black disc
        # that follows the camera, as no shadow of a hand is.
        self.casts_shadow = camera == 'fixed'
        self.mode = mode
        self._step_time = step_time
        self._motion_time = MOTION_SHARE * step_time
        self.image_size = int(image_size)
        self._model = build_model(self.image_size)
        self._data = mujoco.MjData(self._model)
        self._kinematics = ArmKinematics(self._model)
        self._renderer: mujoco.Renderer | None = None
        first = self._model.joint('panda_joint1')
        self._arm = first.qposadr[0] + np.arange(ARM_JOINTS)
        self._fingers = np.array(
            [self._model.joint(f'panda_finger_joint{i}').qposadr[0] for i in (1, 2)]
        )
        self._driven = np.array([*self._arm, self._fingers[0]])
        self._finger_bodies = [self._model.body(f'finger{i}').id for i in (1, 2)]
        self._camera = self._model.camera('fixed').id
        self._site = self._model.site('end_effector').id
        self._hand = self._model.body('hand').id
        self._targets = JointTargets(ARM_JOINTS + 1)  # of the arm's joints and both fingers
        self._shadow = self._model.geom('hand_shadow').id
        self.place_camera()
        self.reset(seed)

    def __enter__(self) -> 'PandaSim':
        """Return the simulator itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Free the renderer."""
        self.close()

    def close(self) -> None:
        """Free the renderer; the state can still be read."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def reset(self, seed: int) -> None:
        """Make the scene of a seed, 0 to LARGEST_SEED, and put the arm at its home state."""
        check_seed(seed)
        self._seed = seed
        vary_scene(self._model, self._data, seed)
        self._set_force(MAX_FORCE)
        self.set_state(HOME_STATE)

    def hang_objects(self) -> None:
        """
        Hang the objects between arm and fixed camera, until the next reset.

        ValueError: in mode 'physics' they would fall.
        """
        _require(self.mode == 'kinematic', 'mode', self.mode, 'kinematic, in which nothing falls')
        hang_objects(self._model, self._data, self._seed)
        mujoco.mj_kinematics(self._model, self._data)

    def place_camera(self, turn: float = 0.0, rise: float = 0.0) -> None:
        """
        Put the fixed camera elsewhere, until the next call; see scene.camera_placement.

        ValueError: turn (rad) or rise (m) is out of range.
        """
        _require(abs(turn) <= np.pi, 'camera_turn', turn, '-pi to pi rad')
        _require(-0.5 <= rise <= 1.0, 'camera_rise', rise, '-0.5 to 1 m')
        camera = self._model.camera('fixed')
        camera.pos[:], axes = camera_placement(turn, rise)
        mujoco.mju_mat2Quat(camera.quat, np.ascontiguousarray(axes).ravel())
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def set_state(self, state: ArrayLike) -> None:
        """
        Put the arm at a state [7] at once and at rest; the objects stay.

        ValueError: a number is not finite, the closedness is outside 0..1, or the pose is out of
        reach.
        """
        state = _finite(state, 'state')
        _require(0 <= state[6] <= 1, 'closedness', state[6], '0 (open) to 1 (closed)')
        joints = self._kinematics.inverse(state[:3], euler_to_matrix(state[3:6]))
        finger = FINGER_TRAVEL * (1 - state[6])
        data = self._data
        data.qpos[self._arm] = joints
        data.qpos[self._fingers] = finger
        data.qvel[:] = 0
        self._model.opt.enableflags &= ~SLEEP  # or what rests, even the light, is not updated
        self._owed = 0.0  # s, less than a step of the physics
        self._targets.send(slice(None), [*joints, finger], 0.0)
        data.ctrl[:] = self._targets.now()
        mujoco.mj_forward(self._model, data)
        if self.mode == 'physics':
            self._model.opt.enableflags |= SLEEP

    def state(self) -> np.ndarray:
        """Return the measured state, float64 [7]."""
        data = self._data
        opening = data.qpos[self._fingers].mean() / FINGER_TRAVEL
        return np.array(
            [
                *data.site_xpos[self._site],
                *matrix_to_euler(data.site_xmat[self._site].reshape(3, 3)),
                np.clip(1 - opening, 0, 1),
            ]
        )

    def step(self, action: ArrayLike) -> None:
        """
        Do one action [7] to its end, which takes step_time.

        ValueError: a number is not finite.
        """
        self.command(action)
        self.advance(self._step_time)

    def command(self, action: ArrayLike) -> None:
        """
        Set the target to the measured state composed with an action [7], replacing any other.

        A null displacement keeps the last target of the arm and a null change of closedness that
        of the fingers, so that the arm does not creep and a grasp keeps its force. A turn out of
        reach is left out; where even that does not help, the arm keeps its last target.
        ValueError: a number is not finite.
        """
        action = np.clip(_finite(action, 'action'), np.negative(ACTION_BOUNDS), ACTION_BOUNDS)
        state, target = self.state(), self._targets.goal.copy()
        if action[:6].any():
            target[:7] = self._joints_after(action)
        if action[6]:
            self._set_force(MAX_FORCE)
            target[7] = FINGER_TRAVEL * (1 - np.clip(state[6] + action[6], 0, 1))
        self._targets.send(slice(None), target, self._motion_time)

    def pose(self) -> Pose:
        """Return the measured pose of the end effector in panda_link0."""
        site = self._data.site(self._site)
        return site.xpos.copy(), site.xmat.reshape(3, 3).copy()

    def target_pose(self) -> Pose:
        """Return the pose that the targets of the joints lead to."""
        return self._kinematics.forward(self._targets.goal[:ARM_JOINTS])

    def set_target_pose(self, position: np.ndarray, rotation: np.ndarray) -> None:
        """
        Set the targets of the arm's joints at once to those of a pose, position [3] (m), rotation.

        ValueError: the pose is out of reach.
        """
        now = self._targets.goal[:ARM_JOINTS]
        joints = self._kinematics.inverse(position, rotation, start=now)
        self._targets.send(slice(ARM_JOINTS), joints, 0.0)

    def set_target_finger(self, position: float, speed: float, force: float = MAX_FORCE) -> None:
        """Let the target of each finger move to 0.04 m (open) .. 0 at a speed (m/s)."""
        self._set_force(force)
        distance = abs(position - self._targets.now()[ARM_JOINTS])
        self._targets.send(slice(ARM_JOINTS, None), position, distance / speed)

    def _set_force(self, force: float) -> None:
        self._model.actuator_forcerange[ARM_JOINTS] = -force, force

    def finger(self) -> Finger:
        """Return what is known of the fingers now."""
        return Finger(
            float(self._data.qpos[self._fingers].mean()),
            float(self._data.actuator_force[ARM_JOINTS]),
            bool(self._targets.moving()[ARM_JOINTS]),
        )

    def _joints_after(self, action: np.ndarray) -> np.ndarray:
        """Return the joint angles for the displacement and the turn of an action."""
        low, high = np.transpose(WORKSPACE)
        position = np.clip(self._data.site_xpos[self._site] + action[:3], low, high)
        now = self._data.site_xmat[self._site].reshape(3, 3)
        for rotation in (limit_tilt(euler_to_matrix(action[3:6]) @ now), now):
            try:
                return self._kinematics.inverse(position, rotation)
            except ValueError:
                pass
        return self._targets.goal[:ARM_JOINTS]

    def advance(self, duration: float) -> None:
        """Let time pass (s): the targets of the joints move to those of the last command."""
        model, data = self._model, self._data
        if self.mode == 'kinematic':
            data.ctrl[:] = self._targets.advance(duration)
            data.qpos[self._driven] = data.ctrl
            data.qpos[self._fingers[1]] = data.ctrl[7]
            data.time += duration
            mujoco.mj_kinematics(model, data)
            return
        self._owed += duration
        steps = round(self._owed / model.opt.timestep)
        self._owed -= steps * model.opt.timestep
        for _ in range(steps):
            data.ctrl[:] = self._targets.advance(model.opt.timestep)
            mujoco.mj_step(model, data)
        mujoco.mj_kinematics(model, data)

    def render(self) -> np.ndarray:
        """
        Return the picture of the camera, uint8 [image_size, image_size, 3] RGB.

        RuntimeError: there is no OpenGL for rendering without a screen.
        """
        if self._renderer is None:
            self._renderer = make_renderer(self._model, self.image_size)
        self._cast_shadow()
        mujoco.mj_camlight(self._model, self._data)  # the wrist camera is where the hand is now
        self._renderer.update_scene(self._data, self.camera)
        return self._renderer.render()

    def _cast_shadow(self) -> None:
        """Lay a blurred patch on the table where the key light throws the hand's shadow."""
        model, data = self._model, self._data
        light = model.light('key').dir
        hand = data.xpos[self._hand]
        place = hand - light * hand[2] / light[2]
        across = data.xmat[self._hand].reshape(3, 3)[:, 1]
        angle = np.arctan2(-across[0], across[1])
        data.mocap_pos[0] = *place[:2], 0
        data.mocap_quat[0] = np.cos(angle / 2), 0, 0, np.sin(angle / 2)
        darkness = SHADOW_DARKNESS if self.casts_shadow else 0
        model.geom_rgba[self._shadow, 3] = darkness * max(0, 1 - hand[2] / SHADOW_REACH)
        mujoco.mj_kinematics(model, data)

    def finger_tips(self) -> np.ndarray:
        """Return where both finger tips are in the picture, [2, 2] x (right), y (down), 0..1."""
        data = self._data
        tips = data.xpos[self._finger_bodies] + (
            data.xmat[self._finger_bodies].reshape(2, 3, 3) @ FINGER_TIP
        )
        seen = (tips - data.cam_xpos[self._camera]) @ data.cam_xmat[self._camera].reshape(3, 3)
        focal = self.camera_matrix()[0, 0] / self.image_size
        return 0.5 + focal * seen[:, :2] * (1, -1) / -seen[:, 2:]

    def joint_positions(self) -> list[float]:
        """Return the angles (rad) and travels (m) of description.JOINTS."""
        return [float(self._data.joint(name).qpos[0]) for name in JOINTS]

    def transforms(self) -> list[Transform]:
        """Return the pose in its parent of every frame that a joint moves."""
        return [found for found in transforms(self._data) if found.frame.joint]

    def fixed_transforms(self) -> list[Transform]:
        """Return the pose in its parent of every frame that no joint moves, cameras included."""
        return [found for found in transforms_at_rest(self._model) if not found.frame.joint]

    def description(self) -> str:
        """Return the URDF of the robot and its cameras."""
        return robot_description(self._model)

    def camera_matrix(self) -> np.ndarray:
        """
        Return the intrinsics [3, 3] (pixels) of the camera, which has no distortion.

        As in CameraInfo, whole numbers are the centres of pixels.
        """
        focal = self.image_size / 2 / np.tan(np.deg2rad(FIELDS_OF_VIEW[self.camera]) / 2)
        centre = (self.image_size - 1) / 2
        return np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]])


def _finite(values: ArrayLike, name: str) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    usable = numbers.shape == (7,) and bool(np.isfinite(numbers).all())
    _require(usable, name, numbers.tolist(), 'seven finite numbers')
    return numbers


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f'{name} = {value!r}: allowed: {allowed}')
