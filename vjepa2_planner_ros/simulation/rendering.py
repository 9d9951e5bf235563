# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""OpenGL without a screen: which one MuJoCo uses, and what is wrong where none works."""

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mujoco

EGL_PLATFORM_DEVICE = 0x313F
OFFSCREEN = ('egl', 'osmesa')
WINDOWS = ('glfw', 'glx', 'enable', 'enabled', 'on', 'true', '1')  # mujoco's names; need a screen
NONE = 'disable'
HELP = 'egl or osmesa, whose libraries are missing: apt-get install -y libosmesa6'


def import_mujoco() -> None:
    """
    Import mujoco with an OpenGL that works here.

    mujoco reads MUJOCO_GL once, when it is imported, and may fail there. An unset MUJOCO_GL is set
    to egl if that works, else to osmesa. A value that does not work stays, but mujoco is imported
    without rendering: states and motion need none, make_renderer() says what is wrong.
    """
    if 'mujoco' in sys.modules:
        return
    asked = os.environ.get('MUJOCO_GL')
    chosen = asked or next(filter(_works, OFFSCREEN), NONE)
    os.environ['MUJOCO_GL'] = chosen if _works(chosen) else NONE
    import mujoco  # noqa: F401

    os.environ['MUJOCO_GL'] = chosen


def make_renderer(model: 'mujoco.MjModel', size: int) -> 'mujoco.Renderer':
    """
    Return a renderer of pictures of size x size pixels.

    RuntimeError: OpenGL does not work; the text names MUJOCO_GL, its value and what is allowed.
    """
    import mujoco

    name = os.environ.get('MUJOCO_GL', '')
    try:
        if name and not _works(name):
            raise OSError('no such OpenGL')
        return mujoco.Renderer(model, size, size)
    except Exception as error:  # every OpenGL has exceptions of its own
        allowed = ' or '.join(filter(_works, OFFSCREEN)) or HELP
        if not name:
            allowed += ', set before mujoco is imported; vjepa2_planner_ros.simulation sets it'
        raise RuntimeError(
            f'rendering failed: MUJOCO_GL = {name!r}: allowed without a screen: {allowed}'
        ) from error


def _works(name: str) -> bool:
    """Return whether MUJOCO_GL may have this value here; of a window nobody knows beforehand."""
    name = name.lower().strip()
    if name == 'osmesa':
        return any(_load(f'libOSMesa.so{suffix}') for suffix in ('.8', '.6', ''))
    return _egl_works() if name == 'egl' else name in WINDOWS


def _load(library: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(library)
    except OSError:
        return None


def _egl_works() -> bool:
    """Return whether a display can be opened on any EGL device (a GPU or Mesa's software)."""
    egl = _load('libEGL.so.1')
    if egl is None:
        return False
    pointer = ctypes.c_void_p
    egl.eglGetProcAddress.restype = pointer
    names = (b'eglQueryDevicesEXT', b'eglGetPlatformDisplayEXT')
    addresses = [egl.eglGetProcAddress(name) for name in names]
    if not all(addresses):
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, pointer, pointer)(addresses[0])
    platform_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(addresses[1])
    egl.eglInitialize.argtypes = [pointer] * 3
    devices, count = (pointer * 16)(), ctypes.c_int()
    if not query(16, devices, ctypes.byref(count)):
        return False
    displays = (
        platform_display(EGL_PLATFORM_DEVICE, device, None) for device in devices[: count.value]
    )
    return any(display and egl.eglInitialize(display, None, None) for display in displays)
