# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Choice of the OpenGL for rendering without a screen; to be made before mujoco is imported."""

import ctypes
import os

EGL_PLATFORM_DEVICE = 0x313F
NONE = 'disable'


def choose_opengl():
    """Set MUJOCO_GL, where unset, to egl if that works on this machine, else to osmesa."""
    if not os.environ.get('MUJOCO_GL'):
        osmesa = any(_load(f'libOSMesa.so{suffix}') for suffix in ('.8', '.6', ''))
        os.environ['MUJOCO_GL'] = 'egl' if _egl_works() else 'osmesa' if osmesa else NONE


def require_opengl():
    """Raise RuntimeError, with the command that helps, where choose_opengl() found none."""
    if os.environ.get('MUJOCO_GL') == NONE:
        raise RuntimeError(
            'rendering without a screen needs EGL or OSMesa, and neither library works here; '
            'on Debian and Ubuntu: apt-get install -y libosmesa6'
        )


def _load(library):
    try:
        return ctypes.CDLL(library)
    except OSError:
        return None


def _egl_works():
    """Return whether a display can be opened on any EGL device (a GPU or Mesa's software)."""
    egl = _load('libEGL.so.1')
    if egl is None:
        return False
    pointer = ctypes.c_void_p
    egl.eglGetProcAddress.restype = pointer
    names = (b'eglQueryDevicesEXT', b'eglGetPlatformDisplayEXT')
    query, platform_display = (egl.eglGetProcAddress(name) for name in names)
    if not query or not platform_display:
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, pointer, pointer)(query)
    platform_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(platform_display)
    egl.eglInitialize.argtypes = [pointer] * 3
    devices, count = (pointer * 16)(), ctypes.c_int()
    if not query(16, devices, ctypes.byref(count)):
        return False
    displays = (
        platform_display(EGL_PLATFORM_DEVICE, device, None) for device in devices[: count.value]
    )
    return any(display and egl.eglInitialize(display, None, None) for display in displays)
