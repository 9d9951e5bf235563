# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is published of a plan while it is made: feedback, the search, the encoder's pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
import traceback
from typing import Any, TYPE_CHECKING

from builtin_interfaces.msg import Time
import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, Header
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchCandidates, SearchIteration

from .goal import Goal
from .goal_reader import PlanRequest
from .plan_recorder import NoRecording, PlanRecording
from ..history.topics import CANDIDATES, GOAL_IMAGE, IMAGINED, MARKERS, MODEL_INPUT, SEARCH
from ..messages.images import to_image
from ..messages.markers import command_markers, iteration_markers
from ..messages.searches import to_candidates_message, to_iteration_message

if TYPE_CHECKING:  # they need torch
    from .loaded_model import Answer
    from ..planning.search import SearchIteration as Iteration


class Topics:
    """The planner's publishers."""

    def __init__(self, node: Node):
        self.logger = node.get_logger()
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.iterations = node.create_publisher(SearchIteration, '~/search', 10)
        self.candidates = node.create_publisher(SearchCandidates, '~/search/candidates', 10)
        self.markers = node.create_publisher(MarkerArray, '~/markers', 10)
        self.surprise = node.create_publisher(Float64, '~/surprise', 10)
        self.goal_image = node.create_publisher(Image, '~/goal_image', latched)
        self.model_input = node.create_publisher(Image, '~/model_input', latched)
        self.imagined = node.create_publisher(Image, '~/imagined', latched)
        self.by_role = {
            SEARCH: self.iterations,
            CANDIDATES: self.candidates,
            GOAL_IMAGE: self.goal_image,
            MODEL_INPUT: self.model_input,
            IMAGINED: self.imagined,
            MARKERS: self.markers,
        }

    def show(self, function: Callable[..., object], *args: Any) -> None:
        """
        Call function(*args), and log what it raises: no plan ends because it could not be shown.

        Publishing waits for no reader. It takes less of a plan's time on the thread of the plan
        than on another one, with which the search would share Python's lock.
        """
        try:
            function(*args)
        except Exception:
            self.logger.error(traceback.format_exc(), throttle_duration_sec=1.0)


class InputReport:
    """
    Publishes the pictures that a goal is computed from.

    :param goal: the Goal of the action server; its check() ends the work.
    """

    def __init__(self, goal: Goal, topics: Topics, image_header: Header):
        self.goal = goal
        self._topics = topics
        self._image_header = image_header

    def goal_input(self, rgb: NDArray[np.uint8]) -> None:
        """Publish the goal picture as the encoder sees it."""
        self._topics.show(self._image, GOAL_IMAGE, rgb)

    def model_input(self, rgb: NDArray[np.uint8]) -> None:
        """Publish the frame planned from as the encoder sees it."""
        self._topics.show(self._image, MODEL_INPUT, rgb)

    def _image(self, role: str, rgb: NDArray[np.uint8]) -> Image:
        message = to_image(rgb, self._image_header)
        self._topics.by_role[role].publish(message)
        return message

    def _feedback(self, feedback: Any) -> None:
        self.goal.handle.publish_feedback(feedback)


class PlanReport(InputReport):
    """Sends the progress of a plan as feedback, to the topics and to its recording."""

    def __init__(
        self,
        goal: Goal,
        topics: Topics,
        clock: Clock,
        request: PlanRequest,
        recording: PlanRecording | NoRecording,
    ):
        super().__init__(goal, topics, request.image_header)
        self._clock = clock
        self._base_frame = request.settings.base_frame
        self._start = request.states[-1]
        self._recording = recording

    def encoding(self, share: float) -> None:
        """Send the share of the pictures that has been encoded."""
        self._topics.show(
            self._feedback, PlanAction.Feedback(phase=PlanAction.Feedback.ENCODING, progress=share)
        )

    def iteration(self, iteration: Iteration) -> None:
        """Publish an iteration, in command convention, as feedback and on the topics."""
        self._topics.show(self._iteration, iteration, self._clock.now().to_msg())

    @property
    def wants_imagined(self) -> bool:
        """Return whether anybody looks at what the model expects to see."""
        return self._recording.records or self._topics.imagined.get_subscription_count() > 0

    def imagined(self, rgb: NDArray[np.uint8]) -> None:
        """Publish what the model expects to see after the command."""
        self._topics.show(self._image, IMAGINED, rgb)

    def not_imagined(self, why: str) -> None:
        """Warn that there is no such picture of this plan."""
        self._topics.logger.warning(f'Goal {self.goal.name}: {why}')

    def answer(self, answer: Answer) -> None:
        """Publish the markers of the command that was found."""
        self._topics.show(self._answer, answer)

    def _image(self, role: str, rgb: NDArray[np.uint8]) -> Image:
        message = super()._image(role, rgb)
        self._recording.image(role, message)
        return message

    def _iteration(self, iteration: Iteration, stamp: Time) -> None:
        plan_id = self.goal.handle.goal_id
        message = to_iteration_message(
            iteration, plan_id, Header(stamp=stamp, frame_id=self._base_frame)
        )
        if self._topics.iterations.get_subscription_count():
            self._topics.iterations.publish(message)
        if self._topics.candidates.get_subscription_count():
            self._topics.candidates.publish(to_candidates_message(iteration, plan_id))
        self._feedback(
            PlanAction.Feedback(
                phase=PlanAction.Feedback.OPTIMIZING,
                iteration=message,
                progress=iteration.iteration / iteration.iterations,
            )
        )
        markers = self._markers(iteration_markers, iteration)
        self._recording.iteration(message, iteration, markers)

    def _answer(self, answer: Answer) -> None:
        self._recording.markers(self._markers(command_markers, answer))
        if answer.surprise is not None:
            self._topics.surprise.publish(Float64(data=answer.surprise))

    def _markers(self, draw: Callable[..., MarkerArray], drawn: Any) -> Callable[[], MarkerArray]:
        """Publish markers if they are subscribed to; return a function that returns them."""
        markers = cache(lambda: draw(drawn, self._start, self._base_frame))
        if self._topics.markers.get_subscription_count():
            self._topics.markers.publish(markers())
        return markers
