# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a recording holds, by its role for the planner: a topic ~/ROLE, unless it is remapped."""

from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.msg import PlanRecord, SearchCandidates, SearchIteration

RECORD, CURRENT_IMAGE = 'plan_record', 'current_image'
SEARCH, CANDIDATES, GOAL_IMAGE, MODEL_INPUT = (
    'search',
    'search/candidates',
    'goal_image',
    'model_input',
)
MARKERS = 'markers'

TYPES = {
    RECORD: PlanRecord,
    CURRENT_IMAGE: Image,
    GOAL_IMAGE: Image,
    MODEL_INPUT: Image,
    SEARCH: SearchIteration,
    CANDIDATES: SearchCandidates,
    MARKERS: MarkerArray,
}
LIVE = (SEARCH, CANDIDATES, GOAL_IMAGE, MODEL_INPUT, MARKERS)  # the planner publishes these
LATCHED = (GOAL_IMAGE, MODEL_INPUT)
IMAGES = (CURRENT_IMAGE, MODEL_INPUT, GOAL_IMAGE)


def type_name(role: str) -> str:
    """Return the message type of a role as package/msg/Type."""
    kind = TYPES[role]
    return f'{kind.__module__.partition(".")[0]}/msg/{kind.__name__}'
