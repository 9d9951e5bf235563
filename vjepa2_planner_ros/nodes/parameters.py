# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's parameters: one table, from which declaration, checks and values come."""

from dataclasses import dataclass, field, fields, replace
import math
import os

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

# As in planning.actions, which needs torch: the node starts without it and says what is missing.
AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper')
# No bound may exceed these: 10 cm, half a turn and the whole travel of the gripper a step.
LARGEST_BOUNDS = (0.10, 0.10, 0.10, math.pi, math.pi, math.pi, 1.0)
OPTIMIZERS = ('cem', 'trust_region')


def parameter(
    default, description, *, name=None, unit='', low=None, high=None, choices=(), read_only=False
):
    """Return a dataclass field that is one row of the table; name only if it has a dot."""
    return field(
        default=default,
        metadata={
            'name': name,
            'description': description,
            'unit': unit,
            'low': low,
            'high': high,
            'choices': choices,
            'read_only': read_only,
        },
    )


@dataclass(frozen=True)
class Settings:
    """Every parameter of the planner and its value; a goal is planned with one such set."""

    model: str = parameter(
        'sim-panda-ac',
        'World model to plan with, unless ~/load_model or a goal asks for '
        'another; loaded at the next configure.',
    )
    checkpoint: str = parameter(
        '',
        "File with the model's weights, '' = those of the catalogue; read at the next configure.",
    )
    model_cache: str = parameter('', "Folder of downloaded weights; '' = torch.hub's.")
    device: str = parameter(
        'auto', 'Torch device: auto, cpu, cuda or cuda:N; used from the next configure.'
    )
    dtype: str = parameter(
        'auto',
        'Precision of the model; used from the next configure.',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    optimizer: str = parameter(
        'trust_region',
        'How plans are searched: trust_region needs 67 candidates where cem, the '
        'cross-entropy method, takes 2502; of the parameters of cem it heeds horizon, bounds, '
        'search, gripper_deadband and seed.',
        choices=OPTIMIZERS,
    )
    search_horizon: int = parameter(1, 'Actions in a plan.', name='search.horizon', low=1, high=16)
    search_bounds: tuple = parameter(
        (0.0,) * 7,
        'Largest motion of a step on x y z, roll pitch yaw, gripper; '
        "0 = the model's own, never more than that.",
        name='search.bounds',
        unit='m, rad, closedness',
        low=0.0,
        high=math.pi,
    )
    search_axes: tuple = parameter(
        ('x', 'y', 'z', 'gripper'),
        'Axes that are searched; the others stay as they are.',
        name='search.axes',
        choices=AXES,
    )
    search_gripper_deadband: float = parameter(
        0.0,
        'Smaller changes of the gripper in a plan become 0.',
        name='search.gripper_deadband',
        unit='closedness',
        low=0.0,
        high=1.0,
    )
    search_seed: int = parameter(
        -1,
        'Seed of the candidates; -1 = another one for every goal.',
        name='search.seed',
        low=-1,
        high=2**63 - 1,
    )
    cem_samples: int = parameter(
        500, 'Candidates drawn in each iteration.', name='cem.samples', low=1, high=16384
    )
    cem_iterations: int = parameter(
        5, 'Iterations of drawing, ranking and refitting.', name='cem.iterations', low=1, high=100
    )
    cem_elite_fraction: float = parameter(
        0.2,
        'Share of the candidates kept as elites.',
        name='cem.elite_fraction',
        low=1e-4,
        high=1.0,
    )
    cem_momentum_mean: float = parameter(
        0.0,
        'Share of the old mean kept when it is refitted.',
        name='cem.momentum_mean',
        low=0.0,
        high=0.999,
    )
    cem_momentum_std: float = parameter(
        0.0,
        'Share of the old standard deviation kept when it is refitted.',
        name='cem.momentum_std',
        low=0.0,
        high=0.999,
    )
    cem_include_mean: bool = parameter(
        True, 'Make the mean of the distribution one of the candidates.', name='cem.include_mean'
    )
    cem_keep_elites: bool = parameter(
        False,
        'Keep the elites as candidates of the next iteration, not evaluated again.',
        name='cem.keep_elites',
    )
    trust_region_samples: int = parameter(
        16,
        'Candidates of each iteration of the trust-region optimizer.',
        name='trust_region.samples',
        low=1,
        high=1024,
    )
    trust_region_iterations: int = parameter(
        4,
        'Iterations of the trust-region optimizer.',
        name='trust_region.iterations',
        low=1,
        high=100,
    )
    landscape_batch: int = parameter(
        128,
        'Points of an energy landscape evaluated at once; so long a plan may have to wait.',
        name='landscape.batch',
        low=1,
        high=16384,
    )
    cameras: tuple = parameter(
        ('main',),
        'Names of the cameras; each has parameters of its own, camera.NAME.topic and so on.',
        read_only=True,
    )
    base_frame: str = parameter(
        'panda_link0',
        "The robot's base frame: of states, commands and target poses.",
        read_only=True,
    )
    context_frames: int = parameter(
        1,
        "Frames the model sees: the newest and those before it, the model's period apart; "
        'fewer just after the start.',
        low=1,
        high=16,
    )
    image_timeout: float = parameter(
        2.0, 'Longest wait for a frame and a state that are fresh.', unit='s', low=0.0, high=60.0
    )
    max_image_age: float = parameter(
        1.0, 'Oldest frame that is planned from.', unit='s', low=0.01, high=60.0
    )
    max_state_age: float = parameter(
        1.0, 'Oldest end-effector state that is planned from.', unit='s', low=0.01, high=60.0
    )
    max_skew: float = parameter(
        0.25, 'Largest time between frame and state.', unit='s', low=0.001, high=60.0
    )
    gripper_joint: str = parameter(
        'panda_finger_joint1',
        "Joint whose position tells the gripper's closedness.",
        name='gripper.joint',
        read_only=True,
    )
    gripper_open: float = parameter(
        0.04,
        'Position of that joint when the gripper is open.',
        name='gripper.open_position',
        unit='m',
        low=-1.0,
        high=1.0,
    )
    gripper_closed: float = parameter(
        0.0,
        'Position of that joint when the gripper is closed.',
        name='gripper.closed_position',
        unit='m',
        low=-1.0,
        high=1.0,
    )
    history_folder: str = parameter(
        '',
        "Folder into which every plan is recorded as a bag, '' = none is.",
        name='history.folder',
    )
    history_max_plans: int = parameter(
        1000,
        'Plans kept in that folder; the oldest are deleted first.',
        name='history.max_plans',
        low=1,
        high=1_000_000,
    )
    history_max_size: int = parameter(
        2000,
        'Size of that folder; the oldest plans are deleted first.',
        name='history.max_size',
        unit='MB',
        low=1,
        high=10_000_000,
    )
    autostart: bool = parameter(
        True, 'Configure and activate at start, without a lifecycle manager.', read_only=True
    )
    result_timeout: int = parameter(
        300,
        'How long a result is kept for its client.',
        unit='s',
        low=1,
        high=86400,
        read_only=True,
    )

    @property
    def samples(self):
        """Return how many candidates the chosen optimizer has in an iteration."""
        return getattr(self, f'{self.optimizer}_samples')

    @property
    def iterations(self):
        """Return how many iterations the chosen optimizer does."""
        return getattr(self, f'{self.optimizer}_iterations')


@dataclass(frozen=True)
class CameraSettings:
    """The parameters of one camera, under camera.NAME."""

    topic: str = parameter(
        '',
        "Topic of the frames; '' = ~/image for the first camera, ~/NAME/image for others.",
        read_only=True,
    )
    compressed: bool = parameter(
        False,
        'The topic carries sensor_msgs/CompressedImage (jpeg or png), not Image.',
        read_only=True,
    )
    mount: tuple = parameter(
        (0.0,) * 6,
        "Pose of the camera's optical frame (x right, y down, z ahead) in the frame "
        'of the end effector, x y z and roll pitch yaw; zeros = the camera is not on the hand. '
        'This and the next three are for models that are an encoder alone.',
        unit='m, rad',
        low=-math.pi,
        high=math.pi,
        read_only=True,
    )
    plane_height: float = parameter(
        0.0,
        'Height of what the camera on the hand looks at, a table say, in the base frame.',
        unit='m',
        low=-3.0,
        high=3.0,
        read_only=True,
    )
    intrinsics: tuple = parameter(
        (0.0,) * 4,
        'fx fy cx cy of the frames; zeros = those of the CameraInfo.',
        unit='pixels',
        low=0.0,
        high=16384.0,
        read_only=True,
    )
    info_topic: str = parameter(
        '',
        "Topic of the CameraInfo; '' = camera_info beside the frames, where image_transport "
        'has it.',
        read_only=True,
    )


def parameter_name(row, prefix=''):
    """Return the ROS name of a row (a field of Settings or CameraSettings)."""
    return prefix + (row.metadata['name'] or row.name)


def declare(node):
    """
    Declare the table on a node; return (Settings, {camera name: CameraSettings}).

    ValueError or an rclpy exception naming the parameter, if an override is not allowed.
    """
    for row in fields(Settings):
        _declare(node, row)
    settings = read(node)
    check(settings)
    cameras = {}
    for index, name in enumerate(settings.cameras):
        prefix = f'camera.{name}.'
        values = {
            row.name: _as_in(row, _declare(node, row, prefix)) for row in fields(CameraSettings)
        }
        values['topic'] = values['topic'] or ('~/image' if index == 0 else f'~/{name}/image')
        values['info_topic'] = values['info_topic'] or _info_topic(node, values)
        cameras[name] = CameraSettings(**values)
        check_camera(cameras[name], prefix)
    return settings, cameras


def read(node, changed=()):
    """Return the node's values as Settings, with changed (rclpy Parameters) put over them."""
    changes = {item.name: item.value for item in changed}
    values = {}
    for row in fields(Settings):
        name = parameter_name(row)
        value = changes[name] if name in changes else node.get_parameter(name).value
        values[row.name] = _as_in(row, value)
    return Settings(**values)


def with_goal(settings, cem, use_seed, seed):
    """Return settings with a goal's SearchSettings over them (0 = keep); ValueError if wrong."""
    optimizer = cem.optimizer or settings.optimizer
    _require(optimizer in OPTIMIZERS, 'optimizer', repr(optimizer), ', '.join(OPTIMIZERS))
    given = {
        f'{owner}_{name}': getattr(cem, name)
        for owner, name in (
            (optimizer, 'samples'),
            (optimizer, 'iterations'),
            ('cem', 'elite_fraction'),
            ('search', 'horizon'),
        )
        if getattr(cem, name)
    }
    merged = replace(settings, optimizer=optimizer, **given)
    check(merged)
    return replace(merged, search_seed=seed) if use_seed else merged  # any uint64


def with_model(settings, name='', checkpoint='', device='', dtype=''):
    """Return settings with a model asked for over them ('' = keep); ValueError if wrong."""
    own = name in ('', settings.model)
    merged = replace(
        settings,
        model=name or settings.model,
        device=device or settings.device,
        dtype=dtype or settings.dtype,
        checkpoint=checkpoint or (settings.checkpoint if own else ''),
    )
    check(merged)
    return merged


def check(settings):
    """Raise ValueError naming parameter, value and what is allowed, if one is wrong."""
    _check_values(settings)
    _check_bounds(settings.search_bounds)
    _require(
        settings.search_axes and len(set(settings.search_axes)) == len(settings.search_axes),
        'search.axes',
        list(settings.search_axes),
        'one or more axes, each once',
    )
    _require(
        settings.cameras
        and len(set(settings.cameras)) == len(settings.cameras)
        and all(name.isidentifier() for name in settings.cameras),
        'cameras',
        list(settings.cameras),
        'one or more names like main, each once',
    )
    _require(
        round(settings.cem_samples * settings.cem_elite_fraction) >= 1,
        'cem.elite_fraction',
        settings.cem_elite_fraction,
        f'at least one elite of {settings.cem_samples} samples',
    )
    _require(
        abs(settings.gripper_open - settings.gripper_closed) > 1e-6,
        'gripper.open_position',
        settings.gripper_open,
        'another position than gripper.closed_position',
    )
    _require(
        not os.path.expanduser(settings.history_folder).startswith('~'),
        'history.folder',
        repr(settings.history_folder),
        "a folder, after ~ the name of a user, or ''",
    )
    for name in ('model', 'device', 'base_frame', 'gripper_joint'):
        _require(getattr(settings, name), name.replace('gripper_', 'gripper.'), '', 'a name')


def check_camera(camera, prefix):
    """Raise ValueError as check does; prefix is that of the camera's parameters."""
    _check_values(camera, prefix)
    for name, numbers in (
        ('mount', 'six numbers x y z roll pitch yaw'),
        ('intrinsics', 'four numbers fx fy cx cy'),
    ):
        value, row = getattr(camera, name), CameraSettings.__dataclass_fields__[name]
        _require(len(value) == len(row.default), prefix + name, list(value), numbers)
    fx, fy, *_ = camera.intrinsics
    _require(
        (fx > 0.0 and fy > 0.0) or not any(camera.intrinsics),
        f'{prefix}intrinsics',
        list(camera.intrinsics),
        'fx and fy above 0, or four zeros',
    )


def _check_bounds(bounds):
    allowed = 'seven numbers, at most ' + ' '.join(f'{bound:.4g}' for bound in LARGEST_BOUNDS)
    _require(len(bounds) == 7, 'search.bounds', list(bounds), allowed)
    for axis, bound, largest in zip(AXES, bounds, LARGEST_BOUNDS):
        _require(bound <= largest, f'search.bounds ({axis})', bound, f'0 to {largest:.4g}')


def _check_values(settings, prefix=''):
    for row in fields(settings):
        name, value = parameter_name(row, prefix), getattr(settings, row.name)
        low, high, choices, unit = (
            row.metadata[key] for key in ('low', 'high', 'choices', 'unit')
        )
        for one in value if isinstance(value, tuple) else (value,):
            if choices:
                _require(one in choices, name, repr(one), ', '.join(choices))
            if low is not None:
                _require(low <= one <= high, name, one, f'{low:g} to {high:g} {unit}'.rstrip())


def _as_in(row, value):
    return tuple(value) if isinstance(row.default, tuple) else value


def _info_topic(node, values):
    """Return the topic of the CameraInfo beside a camera's frames, wherever it is remapped to."""
    topic = node.resolve_topic_name(values['topic'])
    if values['compressed']:
        topic = topic.removesuffix('/compressed')
    return f'{topic.rpartition("/")[0]}/camera_info'


def _require(condition, name, value, allowed):
    if not condition:
        raise ValueError(f'{name} = {value}: allowed: {allowed}')


def _declare(node, row, prefix=''):
    data = row.metadata
    unit = f' [{data["unit"]}]' if data['unit'] else ''
    allowed = f'One of: {", ".join(data["choices"])}.' if data['choices'] else ''
    descriptor = ParameterDescriptor(
        description=data['description'] + unit,
        additional_constraints=allowed,
        read_only=data['read_only'],
    )
    if isinstance(row.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=data['low'], to_value=data['high'])
        ]
    elif isinstance(row.default, int) and not isinstance(row.default, bool):
        descriptor.integer_range = [
            IntegerRange(from_value=data['low'], to_value=data['high'], step=1)
        ]
    default = list(row.default) if isinstance(row.default, tuple) else row.default
    return node.declare_parameter(parameter_name(row, prefix), default, descriptor).value
