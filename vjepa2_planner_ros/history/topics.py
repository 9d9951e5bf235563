# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a recording holds, by its role for the node: a topic ~/ROLE, unless it is remapped."""

from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.msg import (
    PlanRecord,
    ReachStep,
    RunRecord,
    SearchCandidates,
    SearchIteration,
)

RECORD, CURRENT_IMAGE = 'plan_record', 'current_image'
SEARCH, CANDIDATES, MARKERS = 'search', 'search/candidates', 'markers'
GOAL_IMAGE, MODEL_INPUT, IMAGINED = 'goal_image', 'model_input', 'imagined'
# Of a run; pictures are as they came.
RUN_RECORD, STEP = 'run_record', 'step'
FRAME, COMPRESSED_FRAME = 'frame', 'frame/compressed'
SUB_GOAL, COMPRESSED_SUB_GOAL = 'sub_goal', 'sub_goal/compressed'

TYPES = {
    RECORD: PlanRecord,
    CURRENT_IMAGE: Image,
    GOAL_IMAGE: Image,
    MODEL_INPUT: Image,
    IMAGINED: Image,
    SEARCH: SearchIteration,
    CANDIDATES: SearchCandidates,
    MARKERS: MarkerArray,
    RUN_RECORD: RunRecord,
    STEP: ReachStep,
    FRAME: Image,
    COMPRESSED_FRAME: CompressedImage,
    SUB_GOAL: Image,
    COMPRESSED_SUB_GOAL: CompressedImage,
}
# The planner publishes these.
LIVE = (SEARCH, CANDIDATES, GOAL_IMAGE, MODEL_INPUT, IMAGINED, MARKERS)
PLAN = (RECORD, CURRENT_IMAGE, *LIVE)
FRAMES, SUB_GOALS = (FRAME, COMPRESSED_FRAME), (SUB_GOAL, COMPRESSED_SUB_GOAL)
RUN = (RUN_RECORD, STEP, *FRAMES, *SUB_GOALS)
LATCHED = (GOAL_IMAGE, MODEL_INPUT, IMAGINED)
IMAGES = (CURRENT_IMAGE, MODEL_INPUT, GOAL_IMAGE, IMAGINED)


def type_name(role: str) -> str:
    """Return the message type of a role as package/msg/Type."""
    kind = TYPES[role]
    return f'{kind.__module__.partition(".")[0]}/msg/{kind.__name__}'
