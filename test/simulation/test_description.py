# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The robot's URDF, multiplied out with SciPy, against the simulator and the vendor's data."""

from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.simulation import PandaSim, sample_episode
from vjepa2_planner_ros.simulation.description import JOINTS
from vjepa2_planner_ros.simulation.meshes import panda_meshes
from vjepa2_planner_ros.simulation.scene import WRIST_MOUNT

# Lower, upper, effort, velocity by the vendor's data sheet.
LIMITS = {
    'panda_joint1': (-2.8973, 2.8973, 87, 2.175),
    'panda_joint2': (-1.7628, 1.7628, 87, 2.175),
    'panda_joint3': (-2.8973, 2.8973, 87, 2.175),
    'panda_joint4': (-3.0718, -0.0698, 87, 2.175),
    'panda_joint5': (-2.8973, 2.8973, 12, 2.61),
    'panda_joint6': (-0.0175, 3.7525, 12, 2.61),
    'panda_joint7': (-2.8973, 2.8973, 12, 2.61),
    'panda_finger_joint1': (0, 0.04, 70, 0.2),
    'panda_finger_joint2': (0, 0.04, 70, 0.2),
}


@pytest.fixture(scope='module')
def sim():
    with PandaSim(0, mode='physics', image_size=64) as sim:
        yield sim


@pytest.fixture(scope='module')
def urdf(sim):
    return ElementTree.fromstring(sim.description())


def numbers(element, name):
    return np.array([float(word) for word in element.get(name).split()])


def pose(position, rotation):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = position
    return matrix


def origin(element):
    found = element.find('origin')
    return pose(
        numbers(found, 'xyz'), Rotation.from_euler('xyz', numbers(found, 'rpy')).as_matrix()
    )


def forward(urdf, positions):
    """Return the pose [4, 4] of each link in the root's frame, as any reader of a URDF would."""
    poses = {'panda_link0': np.eye(4)}
    for joint in urdf.findall('joint'):  # parents come first
        move, turn = np.zeros(3), Rotation.identity()
        if joint.get('type') != 'fixed':
            value = numbers(joint.find('axis'), 'xyz') * positions[joint.get('name')]
            if joint.get('type') == 'revolute':
                turn = Rotation.from_rotvec(value)
            else:
                move = value
        parent = poses[joint.find('parent').get('link')]
        poses[joint.find('child').get('link')] = (
            parent @ origin(joint) @ pose(move, turn.as_matrix())
        )
    return poses


def test_links_form_one_tree_with_the_joints_of_a_panda(urdf):
    links = [link.get('name') for link in urdf.findall('link')]
    children = [joint.find('child').get('link') for joint in urdf.findall('joint')]
    assert sorted(links) == sorted(['panda_link0', *children]) and len(set(links)) == len(links)
    moving = {j.get('name'): j for j in urdf.findall('joint') if j.get('type') != 'fixed'}
    assert tuple(moving) == JOINTS == tuple(LIMITS)
    for name, limits in LIMITS.items():
        found = moving[name].find('limit')
        values = [float(found.get(key)) for key in ('lower', 'upper', 'effort', 'velocity')]
        np.testing.assert_allclose(values, limits, atol=5e-4)
    assert moving['panda_finger_joint2'].find('mimic').get('joint') == 'panda_finger_joint1'


def test_every_link_is_where_the_simulator_has_it(sim, urdf):
    for seed in range(5):
        sim.reset(seed)
        sim.set_state(sample_episode(seed).start)
        sim.step([0.02, -0.03, 0.01, 0.02, 0, 0.1, 0.2])  # the fingers differ a little now
        state = sim.state()
        poses = forward(urdf, dict(zip(JOINTS, sim.joint_positions())))
        tip = poses['panda_hand_tcp']
        np.testing.assert_allclose(tip[:3, 3], state[:3], atol=1e-6)
        turn = Rotation.from_matrix(tip[:3, :3].T) * Rotation.from_euler('xyz', state[3:6])
        assert turn.magnitude() < 1e-6
        for frame, position, rotation in (*sim.transforms(), *sim.fixed_transforms()):
            expected = np.linalg.inv(poses[frame.parent]) @ poses[frame.name]
            np.testing.assert_allclose(pose(position, rotation), expected, atol=1e-6)


def test_fingers_open_along_y_above_the_tool(urdf):
    poses = forward(urdf, dict.fromkeys(JOINTS, 0.0))
    tip = np.linalg.inv(poses['panda_hand_tcp'])
    left, right = (tip @ poses[f'panda_{side}finger'] for side in ('left', 'right'))
    np.testing.assert_allclose(left[:3, 3], (0, 0, 0.0584 - 0.1034), atol=1e-9)
    np.testing.assert_allclose(right[:3, :3], np.diag([-1, -1, 1]), atol=1e-9)
    opened = forward(urdf, {**dict.fromkeys(JOINTS, 0.0), 'panda_finger_joint1': 0.04})
    np.testing.assert_allclose(
        (tip @ opened['panda_leftfinger'])[:3, 3], (0, 0.04, -0.045), atol=1e-9
    )


def test_cameras_look_along_z_with_y_down(sim, urdf):
    for state in ([0.36, 0.2, 0.1, np.pi, 0, 0, 1], [0.6, -0.1, 0.38, np.pi, 0, 0, 1]):
        sim.set_state(state)
        poses = forward(urdf, dict(zip(JOINTS, sim.joint_positions())))
        seen = np.linalg.inv(poses['fixed_camera']) @ poses['panda_hand_tcp'][:, 3]
        pixel = sim.camera_matrix() @ seen[:3]
        # The middle of the first pixel is 0; the tips are a little above the point between them.
        expected = sim.finger_tips().mean(0)
        np.testing.assert_allclose((pixel[:2] / pixel[2] + 0.5) / 64, expected, atol=0.015)
        assert np.abs(expected - 0.5).max() > 0.1
    mount = np.linalg.inv(poses['panda_hand_tcp']) @ poses['wrist_camera']
    np.testing.assert_allclose(mount[:3, 3], WRIST_MOUNT[:3], atol=1e-9)
    turn = Rotation.from_euler('xyz', WRIST_MOUNT[3:]).as_matrix()
    np.testing.assert_allclose(mount[:3, :3], turn, atol=1e-9)


def surface(vertices, faces, count=400):
    """Return points of a mesh, spread evenly over its area."""
    rng = np.random.default_rng(0)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(faces), count, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), count)[..., None]
    return np.sum(weights * np.stack([a, b, c], 1)[chosen], 1)


def height_above(points, link):
    """Return how far points are outside the cylinders and spheres of a link, negative inside."""
    heights = []
    for visual in link.findall('visual'):
        local = points - origin(visual)[:3, 3]
        local = local @ origin(visual)[:3, :3]
        shape = visual.find('geometry')[0]
        radius = float(shape.get('radius'))
        if shape.tag == 'cylinder':
            half = float(shape.get('length')) / 2
            local = local - np.clip(local * (0, 0, 1), -half, half)
        heights.append(np.linalg.norm(local, axis=1) - radius)
    return np.min(heights, 0)


def test_shapes_follow_the_meshes(urdf):
    links = {link.get('name'): link for link in urdf.findall('link')}
    for name in (*(f'link{i}' for i in range(8)), 'hand', 'finger'):
        meshes = [mesh for mesh in panda_meshes() if mesh.link == name]
        largest = max(meshes, key=lambda mesh: len(mesh.faces))
        link = links[f'panda_{name}' if name != 'finger' else 'panda_leftfinger']
        off = np.abs(height_above(surface(largest.vertices, largest.faces), link))
        assert off.mean() < 0.012 and off.max() < 0.05, name


def test_nothing_refers_to_a_file(sim):
    assert 'filename' not in sim.description() and '://' not in sim.description()
