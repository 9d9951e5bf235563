# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Planning in the latent space of a world model, in plain torch."""

from .config import CemConfig, TrustRegionConfig
from .errors import NonFiniteEnergyError, PlanCancelled, PlanningError, PlanTimeout
from .search import CemIteration, goal_energy, Plan, plan

__all__ = [
    'CemConfig', 'CemIteration', 'goal_energy', 'NonFiniteEnergyError', 'Plan', 'plan',
    'PlanCancelled', 'PlanningError', 'PlanTimeout', 'TrustRegionConfig',
]
