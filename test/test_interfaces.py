# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The interface definitions are frozen: a change breaks every client, so it must be deliberate."""

from importlib import import_module
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).resolve().parent.parent / 'vjepa2_interfaces'
SOURCES = sorted([*ROOT.glob('msg/*.msg'), *ROOT.glob('action/*.action'), *ROOT.glob('srv/*.srv')])

GOLDEN = """
action/ComputeEnergyLandscape_Goal
    use_last_plan boolean
    goal_image sensor_msgs/Image
    goal_image_compressed sensor_msgs/CompressedImage
    camera string
    use_current_image boolean
    current_image sensor_msgs/Image
    use_start_state boolean
    start_state vjepa2_interfaces/EndEffectorState
    model string
    axes sequence<string>
    lowest sequence<double>
    highest sequence<double>
    resolution sequence<uint32>
    offset double[7]
action/ComputeEnergyLandscape_Result
    error_code uint16
    error_msg string
    header std_msgs/Header
    axes sequence<vjepa2_interfaces/LandscapeAxis>
    energies sequence<float>
    minimum double
    minimum_command double[7]
    start_energy double
    has_command boolean
    command double[7]
    command_energy double
    plan_id unique_identifier_msgs/UUID
    start_pose geometry_msgs/PoseStamped
    model string
    computing_time builtin_interfaces/Duration
action/ComputeEnergyLandscape_Feedback
    progress float
action/LoadModel_Goal
    name string
    checkpoint string
    device string
    dtype string
    download boolean
action/LoadModel_Result
    error_code uint16
    error_msg string
    name string
    device string
    dtype string
    memory uint64
    load_time builtin_interfaces/Duration
    NONE=0
    UNKNOWN=9700
    INVALID_SETTINGS=9702
    MODEL_NOT_FOUND=9708
    MODEL_LOAD_FAILED=9709
    OUT_OF_MEMORY=9710
    PREEMPTED=9713
    NODE_DEACTIVATED=9714
action/LoadModel_Feedback
    phase uint8
    bytes_done uint64
    bytes_total uint64
    progress float
    WAITING=1
    DOWNLOADING=2
    VERIFYING=3
    LOADING=4
    WARMING_UP=5
action/PlanAction_Goal
    goal_image sensor_msgs/Image
    goal_image_compressed sensor_msgs/CompressedImage
    camera string
    use_current_image boolean
    current_image sensor_msgs/Image
    use_start_state boolean
    start_state vjepa2_interfaces/EndEffectorState
    model string
    search vjepa2_interfaces/SearchSettings
    use_seed boolean
    seed uint64
    run_id unique_identifier_msgs/UUID
    time_allowance builtin_interfaces/Duration
    best_effort boolean
action/PlanAction_Result
    error_code uint16
    error_msg string
    header std_msgs/Header
    command double[7]
    plan sequence<vjepa2_interfaces/EndEffectorCommand>
    has_target_pose boolean
    target_pose geometry_msgs/PoseStamped
    target_gripper double
    target_gripper_position double
    energy double
    start_energy double
    confidence double
    confidence_calibrated boolean
    near_energy double
    has_surprise boolean
    surprise double
    calibration string
    has_imagined boolean
    imagined_error float
    iteration_energies sequence<double>
    iterations uint32
    model string
    plan_id unique_identifier_msgs/UUID
    planning_time builtin_interfaces/Duration
    encoding_time builtin_interfaces/Duration
    optimization_time builtin_interfaces/Duration
    NONE=0
    GOAL_REJECTED=1
    SEND_GOAL_FAILURE=2
    UNKNOWN=9700
    INVALID_GOAL_IMAGE=9701
    INVALID_SETTINGS=9702
    NO_IMAGE=9703
    IMAGE_STALE=9704
    NO_STATE=9705
    STATE_STALE=9706
    STREAMS_OUT_OF_SYNC=9707
    MODEL_NOT_FOUND=9708
    MODEL_LOAD_FAILED=9709
    OUT_OF_MEMORY=9710
    NON_FINITE_ENERGY=9711
    TIMEOUT=9712
    PREEMPTED=9713
    NODE_DEACTIVATED=9714
    INVALID_STATE=9715
action/PlanAction_Feedback
    phase uint8
    progress float
    iteration vjepa2_interfaces/SearchIteration
    LOADING_MODEL=1
    ENCODING=2
    OPTIMIZING=3
action/ReachGoal_Goal
    sub_goals sequence<vjepa2_interfaces/SubGoal>
    camera string
    model string
    search vjepa2_interfaces/SearchSettings
    max_steps uint32
    time_allowance builtin_interfaces/Duration
    dry_run boolean
action/ReachGoal_Result
    outcome uint8
    reason uint8
    error_code uint16
    error_msg string
    steps uint32
    sub_goals_done uint32
    limited_steps uint32
    energies sequence<double>
    run_id unique_identifier_msgs/UUID
    run_time builtin_interfaces/Duration
    REACHED=1
    NOT_REACHED=2
    STOPPED=3
    FAILED=4
    SETTLED=1
    DRY_RUN=20
    NO_PROGRESS=21
    UNSURE=22
    STEP_LIMIT=23
    TIME_LIMIT=24
    DISARMED=40
    STOP_CALLED=41
    DEAD_MAN_RELEASED=42
    NOT_CONFIRMED=43
    CANCELLED=44
    PREEMPTED=45
    DEACTIVATED=46
    INVALID_GOAL=60
    PLANNER_ERROR=61
    STALE_INPUT=62
    WORKSPACE=63
    NOT_FOLLOWING=64
    SURPRISE=65
    OTHER_PUBLISHER=66
    INTERNAL_ERROR=67
action/ReachGoal_Feedback
    phase uint8
    step vjepa2_interfaces/ReachStep
    WAITING=1
    PLANNING=2
    CONFIRMING=3
    MOVING=4
    SETTLING=5
action/ReplayPlan_Goal
    plan string
    rate double
action/ReplayPlan_Result
    success boolean
    message string
    iterations uint32
action/ReplayPlan_Feedback
    iteration uint32
    iterations_total uint32
msg/EndEffectorCommand
    header std_msgs/Header
    translation geometry_msgs/Vector3
    rotation_rpy geometry_msgs/Vector3
    gripper double
msg/EndEffectorState
    header std_msgs/Header
    pose geometry_msgs/Pose
    gripper double
msg/LandscapeAxis
    name string
    unit string
    values sequence<double>
msg/Metrics
    header std_msgs/Header
    process_cpu double
    system_cpu double
    process_memory double
    system_memory double
    gpu_utilization double
    process_gpu_memory double
    gpu_memory double
    plan_rate double
    plan_time double
    iteration_rate double
    image_age double
    state_age double
    goals_succeeded uint32
    goals_aborted uint32
    goals_cancelled uint32
    goals_preempted uint32
msg/ModelInfo
    name string
    state uint8
    device string
    dtype string
    memory uint64
    parameters uint64
    on_disk boolean
    path string
    file_size uint64
    action_dim uint8
    layout string
    missing sequence<string>
    licence string
    UNLOADED=0
    DOWNLOADING=1
    LOADING=2
    LOADED=3
msg/PlanRecord
    header std_msgs/Header
    plan_id unique_identifier_msgs/UUID
    run_id unique_identifier_msgs/UUID
    folder string
    outcome string
    error_code uint16
    error_msg string
    model string
    device string
    dtype string
    camera string
    settings sequence<diagnostic_msgs/KeyValue>
    time_allowance builtin_interfaces/Duration
    states sequence<vjepa2_interfaces/EndEffectorState>
    command double[7]
    plan sequence<vjepa2_interfaces/EndEffectorCommand>
    target_pose geometry_msgs/PoseStamped
    energy double
    start_energy double
    confidence double
    confidence_calibrated boolean
    has_surprise boolean
    surprise double
    calibration string
    has_imagined boolean
    imagined_error float
    iterations uint32
    planning_time builtin_interfaces/Duration
    encoding_time builtin_interfaces/Duration
    optimization_time builtin_interfaces/Duration
    dropped uint32
msg/ReachStep
    header std_msgs/Header
    sub_goal uint32
    step uint32
    energy double
    predicted_energy double
    confidence double
    confidence_calibrated boolean
    near_energy double
    has_surprise boolean
    surprise double
    energy_rise double
    command double[7]
    limited_command double[7]
    limits sequence<string>
    target_pose geometry_msgs/PoseStamped
    target_gripper double
    run_id unique_identifier_msgs/UUID
    plan_id unique_identifier_msgs/UUID
    planning_time builtin_interfaces/Duration
msg/RunRecord
    header std_msgs/Header
    run_id unique_identifier_msgs/UUID
    folder string
    outcome uint8
    reason uint8
    error_code uint16
    error_msg string
    model string
    camera string
    settings sequence<diagnostic_msgs/KeyValue>
    sub_goals uint32
    sub_goals_done uint32
    dry_run boolean
    steps sequence<vjepa2_interfaces/ReachStep>
    run_time builtin_interfaces/Duration
msg/SearchCandidates
    plan_id unique_identifier_msgs/UUID
    iteration uint32
    samples uint32
    horizon uint32
    actions sequence<float>
    energies sequence<float>
    elites sequence<uint32>
msg/SearchIteration
    header std_msgs/Header
    plan_id unique_identifier_msgs/UUID
    iteration uint32
    iterations_total uint32
    energy_min double
    energy_best double
    energy_elite_mean double
    energy_elite_std double
    energy_mean double
    energy_max double
    elapsed double
    mean double[7]
    std double[7]
    energies sequence<float>
msg/SearchSettings
    optimizer string
    samples uint32
    iterations uint32
    elite_fraction double
    horizon uint32
    cost string
    preset string
msg/SubGoal
    image sensor_msgs/Image
    image_compressed sensor_msgs/CompressedImage
    max_steps uint32
    set_gripper boolean
    gripper double
srv/ComputeEnergy_Request
    goal_image sensor_msgs/Image
    goal_image_compressed sensor_msgs/CompressedImage
    camera string
    use_current_image boolean
    current_image sensor_msgs/Image
    current_image_compressed sensor_msgs/CompressedImage
srv/ComputeEnergy_Response
    error_code uint16
    error_msg string
    stamp builtin_interfaces/Time
    energy double
    model string
srv/DeletePlan_Request
    plan string
srv/DeletePlan_Response
    success boolean
    message string
srv/GetPlan_Request
    plan string
srv/GetPlan_Response
    success boolean
    message string
    record vjepa2_interfaces/PlanRecord
    iterations sequence<vjepa2_interfaces/SearchIteration>
    candidates sequence<vjepa2_interfaces/SearchCandidates>
    current_image sensor_msgs/Image
    goal_image sensor_msgs/Image
    model_input sensor_msgs/Image
    imagined sensor_msgs/Image
srv/ListModels_Request
srv/ListModels_Response
    models sequence<vjepa2_interfaces/ModelInfo>
srv/ListPlans_Request
    limit uint32
srv/ListPlans_Response
    success boolean
    message string
    plans sequence<vjepa2_interfaces/PlanRecord>
srv/UnloadModel_Request
srv/UnloadModel_Response
    success boolean
    message string
"""


def parse_golden():
    """Return the golden listing as {type: [line, ...]}."""
    listing, name = {}, None
    for line in GOLDEN.strip().splitlines():
        if line.startswith(' '):
            listing[name].append(line.strip())
        else:
            name = line
            listing[name] = []
    return listing


def constants(source):
    """Return {section number: [constant's name, ...]} of an interface file."""
    sections = source.read_text().split('\n---\n')
    return {
        number: re.findall(r'^\w+ ([A-Z][A-Z_0-9]*)=', section, re.M)
        for number, section in enumerate(sections)
    }


def generated(name):
    """Return the listing of the Python class that was generated for 'msg/Name'."""
    folder, type_name = name.split('/')
    module = import_module(f'vjepa2_interfaces.{folder}')
    base, _, section = type_name.partition('_')
    generated_type = getattr(getattr(module, base), section) if section else getattr(module, base)
    number = {'Result': 1, 'Response': 1, 'Feedback': 2}.get(section, 0)
    fields = generated_type.get_fields_and_field_types()
    return [f'{field} {kind}' for field, kind in fields.items()] + [
        f'{constant}={getattr(generated_type, constant)}'
        for constant in constants(next(ROOT.glob(f'{folder}/{base}.*')))[number]
    ]


@pytest.mark.case(59)
@pytest.mark.parametrize('name', parse_golden())
def test_definition_is_the_frozen_one(name):
    assert generated(name) == parse_golden()[name]


@pytest.mark.case(59)
def test_every_definition_is_in_the_listing():
    listed = {name.partition('_')[0] for name in parse_golden()}
    assert {f'{source.parent.name}/{source.stem}' for source in SOURCES} == listed


@pytest.mark.parametrize('source', SOURCES, ids=lambda source: source.name)
def test_every_field_and_constant_is_commented(source):
    lines = source.read_text().splitlines()
    bare = [
        line
        for before, line in zip(['', *lines], lines)
        if line
        and not line.startswith(('#', '---'))
        and '#' not in line
        and not before.startswith('#')
    ]
    assert bare == []


@pytest.mark.parametrize('source', SOURCES, ids=lambda source: source.name)
def test_every_number_says_its_unit(source):
    """A number's comment has a unit in brackets or parentheses, or says what it counts."""
    unit = re.compile(
        r'\[(m|s|rad|1/s|bytes|MB|%)( [^]]*)?\]|\((m|rad)[,)]|no unit|count|Number of|Indices|'
        'constants|Seed'
    )
    comment, missing = '', []
    for line in source.read_text().splitlines():
        if line.startswith('#'):
            comment += line
        else:
            if re.match(r'(u?int|float)\d+(\[\d*\])? \w+$', line) and not unit.search(comment):
                missing.append(line)
            comment = ''
    assert missing == []
