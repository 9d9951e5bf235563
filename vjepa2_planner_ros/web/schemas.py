# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the REST and WebSocket interface takes and gives; OpenAPI describes it from here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_UINT32, MAX_UINT64 = 2**32 - 1, 2**64 - 1
Status = Literal['queued', 'model_loading', 'running', 'completed', 'failed', 'cancelled']
Level = Literal['ok', 'warn', 'error', 'stale']
ModelState = Literal['unloaded', 'downloading', 'loading', 'loaded']
LoadKind = Literal['download', 'load']
Seven = Annotated[list[float], Field(min_length=7, max_length=7)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid', allow_inf_nan=False)


class StartState(_Strict):
    """Where the end effector is: metres, radians about fixed axes, robot base frame."""

    x: float = Field(ge=-3.0, le=3.0, description='m')
    y: float = Field(ge=-3.0, le=3.0, description='m')
    z: float = Field(ge=-3.0, le=3.0, description='m')
    roll: float = Field(default=0.0, ge=-6.3, le=6.3, description='rad')
    pitch: float = Field(default=0.0, ge=-6.3, le=6.3, description='rad')
    yaw: float = Field(default=0.0, ge=-6.3, le=6.3, description='rad')
    gripper: float = Field(default=0.0, ge=0.0, le=1.0, description='0 open .. 1 closed')


class PlanSettings(_Strict):
    """How to plan; what is 0, empty or absent is the planner's own parameter."""

    model: str = Field(default='', max_length=200, description="'' = the planner's own")
    camera: str = Field(default='', max_length=200, description="'' = the first one")
    optimizer: Literal['', 'cem', 'trust_region'] = ''
    samples: int = Field(default=0, ge=0, le=MAX_UINT32, description='candidates an iteration')
    iterations: int = Field(default=0, ge=0, le=MAX_UINT32)
    elite_fraction: float = Field(default=0.0, ge=0.0, le=1.0, description='cem only')
    horizon: int = Field(default=0, ge=0, le=MAX_UINT32, description='actions in a plan')
    cost: Literal['', 'l1', 'l2'] = ''
    preset: Literal['', 'meta'] = Field(default='', description="meta = Meta's released planner")
    seed: int | None = Field(default=None, ge=0, le=MAX_UINT64)
    time_allowance: float = Field(default=0.0, ge=0.0, le=86400.0, description='s, 0 = no limit')
    best_effort: bool = Field(default=False, description='at its end, the best plan so far')
    state: StartState | None = Field(default=None, description='absent = the live one')


class PlanRequest(PlanSettings):
    """Pictures are jpeg, png or webp in base64; a data: URL is taken too."""

    goalImage: str = Field(min_length=1)  # noqa: N815, the name on the wire
    currentImage: str | None = Field(  # noqa: N815
        default=None, description='absent = the newest frame of the camera'
    )


class TaskId(BaseModel):
    """A plan that was taken on."""

    task_id: str


class ModelLoading(BaseModel):
    """The planner loads the model that was asked for."""

    type: Literal['model_loading'] = 'model_loading'
    progress: float = Field(description='0..1')


class Running(BaseModel):
    """An iteration of the search ended; energies have no unit, lower is better."""

    type: Literal['running'] = 'running'
    iteration: int
    iterations: int
    energy_best: float
    energy_min: float
    energy_elite_mean: float
    energy_elite_std: float
    energy_mean: float
    energy_max: float
    elapsed: float = Field(description='s')


class Completed(BaseModel):
    """The plan: x y z [m], roll pitch yaw [rad], gripper -1 close .. +1 open; base frame."""

    type: Literal['completed'] = 'completed'
    action: Seven
    plan: list[Seven]
    confidence: float = Field(description='0..1')
    confidence_calibrated: bool = Field(description='it is the probability to get nearer')
    near_energy: float = Field(description='usual 1 to 3 cm from a goal; 0 = not known')
    calibration: str = Field(description="of the camera, '' = none")
    energy: float
    start_energy: float
    target_position: list[float] | None = Field(description='x y z [m] after it; base frame')
    model: str
    plan_id: str
    frame_id: str
    planning_time: float = Field(description='s')
    imagined: str | None = Field(
        description='id of a picture, GET /api/pictures/ID: what the model expects to see after '
        'it; null without a decoder'
    )
    imagined_error: float = Field(description='of such pictures at least, 0..255')


class Failed(BaseModel):
    """No plan; code is an error code of PlanAction by its name, or CANCELLED."""

    type: Literal['failed'] = 'failed'
    code: str
    text: str


Event = Annotated[ModelLoading | Running | Completed | Failed, Field(discriminator='type')]


class Task(BaseModel):
    """A plan, from its request to its end."""

    task_id: str
    status: Status
    created: float = Field(description='s since 1970')
    settings: PlanSettings
    events: list[Event]


class Operation(BaseModel):
    """A download or loading of a model; rate is that of the last seconds."""

    kind: LoadKind
    phase: str
    progress: float = Field(description='0..1')
    bytes_done: int
    bytes_total: int
    rate: float = Field(description='bytes/s')
    ended: bool = False
    error: str = ''


class Model(BaseModel):
    """A model of the planner's catalogue."""

    name: str
    state: ModelState
    device: str
    dtype: str
    memory: int = Field(description='bytes of the device')
    parameters: int
    on_disk: bool
    file_size: int = Field(description='bytes')
    action_dim: int = Field(description='7, or 3 = translations only')
    licence: str
    operation: Operation | None = None


class Accepted(BaseModel):
    """What was begun; GET /api/models shows how it goes on."""

    message: str


class Diagnosis(BaseModel):
    """A status of /diagnostics."""

    name: str
    level: Level
    message: str
    values: dict[str, str]


class System(BaseModel):
    """Load and health; a figure that is not known is absent."""

    planner: bool = Field(description='whether the planner was heard in the last seconds')
    metrics: dict[str, float]
    diagnostics: list[Diagnosis]


class PictureInfo(BaseModel):
    """A picture that the console keeps for a while."""

    id: str
    width: int
    height: int


class Problem(BaseModel):
    """Why a request was refused."""

    code: str
    text: str
