# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What others see of a plan while it is made: feedback, the search, the encoder's pictures."""

from functools import cache
import traceback

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchCandidates, SearchIteration

from ..history.topics import CANDIDATES, GOAL_IMAGE, MARKERS, MODEL_INPUT, SEARCH
from ..messages.images import to_image
from ..messages.markers import command_markers, iteration_markers
from ..messages.searches import to_candidates_message, to_iteration_message


class Topics:
    """The planner's publishers."""

    def __init__(self, node):
        self._logger = node.get_logger()
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.iterations = node.create_publisher(SearchIteration, '~/search', 10)
        self.candidates = node.create_publisher(SearchCandidates, '~/search/candidates', 10)
        self.markers = node.create_publisher(MarkerArray, '~/markers', 10)
        self.goal_image = node.create_publisher(Image, '~/goal_image', latched)
        self.model_input = node.create_publisher(Image, '~/model_input', latched)
        self.by_role = {
            SEARCH: self.iterations,
            CANDIDATES: self.candidates,
            GOAL_IMAGE: self.goal_image,
            MODEL_INPUT: self.model_input,
            MARKERS: self.markers,
        }

    def tell(self, function, *args):
        """
        Call function(*args), and log what it raises: no plan ends because it could not be shown.

        Publishing waits for no reader, and takes less of a plan's time where it is planned than
        on a thread beside it, which the search would have to share Python's lock with.
        """
        try:
            function(*args)
        except Exception:
            self._logger.error(traceback.format_exc(), throttle_duration_sec=1.0)


class InputReport:
    """
    Shows everybody on the topics which pictures a goal is computed from.

    :param goal: the Goal of the action server; its check() ends the work.
    """

    def __init__(self, goal, topics, image_header):
        self.goal = goal
        self._topics = topics
        self._image_header = image_header

    def goal_input(self, rgb):
        """Publish the goal picture as the encoder sees it."""
        self._topics.tell(self._image, GOAL_IMAGE, rgb)

    def model_input(self, rgb):
        """Publish the frame planned from as the encoder sees it."""
        self._topics.tell(self._image, MODEL_INPUT, rgb)

    def _image(self, role, rgb):
        message = to_image(rgb, self._image_header)
        self._topics.by_role[role].publish(message)
        return message

    def _feedback(self, feedback):
        self.goal.handle.publish_feedback(feedback)


class PlanReport(InputReport):
    """Tells the client of one goal, and everybody on the topics, how its plan goes on."""

    def __init__(self, goal, topics, clock, request, recording):
        super().__init__(goal, topics, request.image_header)
        self._clock = clock
        self._base_frame = request.settings.base_frame
        self._start = request.states[-1]
        self._recording = recording

    def encoding(self, share):
        """Tell which share of the pictures has been encoded."""
        self._topics.tell(
            self._feedback, PlanAction.Feedback(phase=PlanAction.Feedback.ENCODING, progress=share)
        )

    def iteration(self, iteration):
        """Publish an iteration, in command convention, as feedback and on the topics."""
        self._topics.tell(self._iteration, iteration, self._clock.now().to_msg())

    def answer(self, answer):
        """Show the command that was found."""
        self._topics.tell(self._answer, answer)

    def _image(self, role, rgb):
        self._recording.image(role, super()._image(role, rgb))

    def _iteration(self, iteration, stamp):
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

    def _answer(self, answer):
        self._recording.markers(self._markers(command_markers, answer))

    def _markers(self, draw, what):
        """Publish markers if somebody looks at them; return a function that returns them."""
        markers = cache(lambda: draw(what, self._start, self._base_frame))
        if self._topics.markers.get_subscription_count():
            self._topics.markers.publish(markers())
        return markers
