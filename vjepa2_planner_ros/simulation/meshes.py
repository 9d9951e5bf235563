# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""
Visual meshes of the Franka Panda, taken from the installed wheel ``dm-robotics-panda``.

The wheel holds detailed OBJ files (derived from franka_ros, Apache-2.0). At first use they are
split by colour, decimated by vertex clustering and kept, with their notice, in the user's cache.
"""

from dataclasses import dataclass
import importlib.metadata
import os
from pathlib import Path
import tempfile
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image

WHEEL = 'dm-robotics-panda'
LINKS = (*(f'link{i}' for i in range(8)), 'hand', 'finger')
# The texture atlas does not fit these two links; the vendor's model paints them white.
PLAIN_WHITE_LINKS = ('link1', 'link2')
CACHE_NAME = 'panda-meshes-2'
CLUSTER_SIZE = {'hand': 0.004, 'finger': 0.002}
DEFAULT_CLUSTER_SIZE = 0.007


@dataclass(frozen=True)
class Mesh:
    """A part of one link in one colour: vertices [V, 3] m in the link frame, faces [F, 3]."""

    link: str
    colour: tuple[int, ...]
    vertices: np.ndarray
    faces: np.ndarray


def cache_folder() -> Path:
    """Return the folder of this package inside the user's XDG cache."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'vjepa2_planner_ros'


def panda_meshes() -> list[Mesh]:
    """
    Return the list of Mesh of the arm and the hand, from the cache or, at first use, the wheel.

    A cache folder that cannot be written is no error: the meshes are then made anew each time.
    FileNotFoundError: the wheel is not installed.
    """
    path = cache_folder() / f'{CACHE_NAME}.npz'
    try:
        return _load(path)
    except (OSError, KeyError, ValueError, BadZipFile):
        pass
    assets = _wheel_assets()
    meshes = [mesh for link in LINKS for mesh in _read_link(assets, link)]
    try:
        _save(path, meshes, (assets / 'NOTICE').read_text())
    except OSError:
        pass
    return meshes


def _wheel_assets() -> Path:
    try:
        files = importlib.metadata.files(WHEEL) or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.name == 'link0.obj':
            return Path(file.locate()).parent
    raise FileNotFoundError(
        f'the meshes of the Panda come with the wheel {WHEEL}, which is not installed: '
        f'pip install --no-deps {WHEEL}==0.4.8'
    )


def _read_link(assets: Path, link: str) -> list[Mesh]:
    """Return the meshes of one OBJ file, one for each colour."""
    vertices, faces, uv = _parse_obj(assets / f'{link}.obj')
    if link in PLAIN_WHITE_LINKS:
        colours = np.full((len(faces), 3), 255, np.uint8)
    else:
        with Image.open(assets / 'panda.png') as picture:
            atlas = np.asarray(picture.convert('RGB'))
        height, width = atlas.shape[:2]
        colours = atlas[
            np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1),
            np.clip((uv[:, 0] * width).astype(int), 0, width - 1),
        ]
    size = CLUSTER_SIZE.get(link, DEFAULT_CLUSTER_SIZE)
    meshes = []
    for colour in np.unique(colours, axis=0):
        part = decimate(vertices, faces[(colours == colour).all(1)], size)
        if len(part[1]) >= 4:
            meshes.append(Mesh(link, tuple(int(c) for c in colour), *part))
    return meshes


def _parse_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices [V, 3], triangles [F, 3] and the mean texture coordinate [F, 2] of each."""
    vertices, texture, corners = [], [], []
    with open(path) as lines:
        for line in lines:
            kind, _, rest = line.partition(' ')
            if kind == 'v':
                vertices.append([float(x) for x in rest.split()])
            elif kind == 'vt':
                texture.append([float(x) for x in rest.split()[:2]])
            elif kind == 'f':
                corners.append([[int(i) for i in c.split('/')[:2]] for c in rest.split()])
    point, coordinate = np.moveaxis(np.array(corners) - 1, 2, 0)
    return np.array(vertices), point, np.array(texture)[coordinate].mean(1)


def decimate(
    vertices: np.ndarray, faces: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Merge all vertices [V, 3] within one cube of edge size (m) into their mean.

    Return the vertices that are left and the faces whose three corners stayed apart.
    """
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)
    _, cluster = np.unique(np.floor(vertices / size).astype(int), axis=0, return_inverse=True)
    cluster = cluster.reshape(-1)
    merged = np.zeros((cluster.max() + 1, 3))
    np.add.at(merged, cluster, vertices)
    merged /= np.bincount(cluster)[:, None]
    faces = cluster[faces]
    apart = (faces != np.roll(faces, 1, axis=1)).all(1)
    faces = faces[apart]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    used, faces = np.unique(faces[np.sort(first)], return_inverse=True)
    return merged[used], faces.reshape(-1, 3)


def _load(path: Path) -> list[Mesh]:
    meshes = []
    with np.load(path, allow_pickle=False) as data:
        for i in range(int(data['count'])):
            meshes.append(
                Mesh(
                    str(data[f'{i}.link']),
                    tuple(int(c) for c in data[f'{i}.colour']),
                    data[f'{i}.vertices'].astype(float),
                    data[f'{i}.faces'].astype(int),
                )
            )
    return meshes


def _save(path: Path, meshes: list[Mesh], notice: str) -> None:
    """Write the meshes and their notice; each file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {'count': len(meshes)}
    for i, mesh in enumerate(meshes):
        arrays[f'{i}.link'] = mesh.link
        arrays[f'{i}.colour'] = mesh.colour
        arrays[f'{i}.vertices'] = mesh.vertices
        arrays[f'{i}.faces'] = mesh.faces.astype(np.int32)
    text = (
        f'The meshes in {path.name} are those of the PyPI package {WHEEL}, modified: split by '
        f'colour and decimated.\nNotice of the original:\n\n{notice}'
    )
    for target, write in (
        (path.with_name('NOTICE'), lambda file: file.write(text.encode())),
        (path, lambda file: np.savez(file, **arrays)),
    ):
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            write(file)
        os.replace(file.name, target)
