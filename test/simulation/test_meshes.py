# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The meshes of the arm: decimation, cache and notice."""

import os

import numpy as np
import pytest
from vjepa2_planner_ros.simulation import meshes

pytestmark = pytest.mark.slow  # meshes are made


def grid(count):
    """Return a flat square of edge 1 as count x count quads, two triangles each."""
    row, column = np.divmod(np.arange((count + 1) ** 2), count + 1)
    vertices = np.stack([row / count, column / count, np.zeros(len(row))], 1)
    corner = np.arange((count + 1) ** 2).reshape(count + 1, count + 1)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    faces = np.stack([a, b, c, a, c, d], -1).reshape(-1, 3)
    return vertices, faces


def area(vertices, faces):
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


def test_decimation_keeps_the_surface_with_far_fewer_faces():
    vertices, faces = grid(60)
    few_vertices, few_faces = meshes.decimate(vertices, faces, 0.1)
    assert len(few_faces) < len(faces) / 20
    assert len(np.unique(few_faces)) == len(few_vertices)
    assert area(few_vertices, few_faces) == pytest.approx(0.9, abs=0.1)
    normals = np.cross(
        few_vertices[few_faces[:, 1]] - few_vertices[few_faces[:, 0]],
        few_vertices[few_faces[:, 2]] - few_vertices[few_faces[:, 0]],
    )
    assert np.all(normals[:, 2] > 0)


@pytest.fixture(scope='module')
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(folder))
        yield folder / 'vjepa2_planner_ros', meshes.panda_meshes()


def test_cache_gives_the_same_meshes(fresh, monkeypatch):
    folder, made = fresh
    # Where the wheel could not be read any more, only the cache can answer.
    monkeypatch.setattr(meshes, 'WHEEL', 'no-such-wheel')
    read = meshes.panda_meshes()
    assert len(read) == len(made) > 10
    for a, b in zip(made, read):
        assert (a.link, a.colour) == (b.link, b.colour)
        np.testing.assert_array_equal(a.vertices, b.vertices)
        np.testing.assert_array_equal(a.faces, b.faces)


def test_notice_lies_next_to_the_meshes_and_nothing_else(fresh):
    folder, _ = fresh
    assert sorted(os.listdir(folder)) == ['NOTICE', f'{meshes.CACHE_NAME}.npz']
    notice = (folder / 'NOTICE').read_text()
    assert 'Franka Emika' in notice and 'Apache License' in notice and 'modified' in notice


def test_links_keep_their_size(fresh):
    _, made = fresh
    hand = np.concatenate([mesh.vertices for mesh in made if mesh.link == 'hand'])
    # Width and height of the hand by the vendor's drawing.
    assert np.ptp(hand[:, 1]) == pytest.approx(0.204, abs=0.005)
    finger = np.concatenate([mesh.vertices for mesh in made if mesh.link == 'finger'])
    assert finger[:, 2].max() == pytest.approx(0.0538, abs=0.002)


@pytest.fixture
def only_fingers(monkeypatch):
    """Read one small file of the wheel, for speed; it gives the two colours of a finger."""
    monkeypatch.setattr(meshes, 'LINKS', ('finger',))


def test_damaged_cache_is_made_anew(tmp_path, monkeypatch, only_fingers):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    path = meshes.cache_folder() / f'{meshes.CACHE_NAME}.npz'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'PK\x03\x04 not an archive')
    assert len(meshes.panda_meshes()) == 2
    monkeypatch.setattr(meshes, 'WHEEL', 'no-such-wheel')
    assert len(meshes.panda_meshes()) == 2


def test_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, only_fingers):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert len(meshes.panda_meshes()) == 2


def test_missing_wheel_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(meshes, 'WHEEL', 'no-such-wheel')
    with pytest.raises(FileNotFoundError, match='pip install --no-deps no-such-wheel'):
        meshes.panda_meshes()
