# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What others see of a plan while it is made: feedback, the search, the encoder's pictures."""

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import CemCandidates, CemIteration

from .images import to_image
from .messages import to_candidates_message, to_iteration_message


class Topics:
    """The planner's publishers."""

    def __init__(self, node):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.iterations = node.create_publisher(CemIteration, '~/cem', 10)
        self.candidates = node.create_publisher(CemCandidates, '~/cem/candidates', 10)
        self.goal_image = node.create_publisher(Image, '~/goal_image', latched)
        self.model_input = node.create_publisher(Image, '~/model_input', latched)


class GoalReport:
    """Tells the client of one goal, and everybody on the topics, how its plan goes on."""

    def __init__(self, job, topics, clock, base_frame, image_header):
        self._job = job
        self._topics = topics
        self._clock = clock
        self._base_frame = base_frame
        self._image_header = image_header
        self.stopped = job.stopped
        self.raise_if_stopped = job.raise_if_stopped

    def encoding(self, share):
        """Tell which share of the pictures has been encoded."""
        self._job.handle.publish_feedback(PlanAction.Feedback(
            phase=PlanAction.Feedback.ENCODING, progress=share))

    def goal_input(self, rgb):
        """Publish the goal picture as the encoder sees it."""
        self._topics.goal_image.publish(to_image(rgb, self._image_header))

    def model_input(self, rgb):
        """Publish the frame planned from as the encoder sees it."""
        self._topics.model_input.publish(to_image(rgb, self._image_header))

    def iteration(self, iteration):
        """Publish an iteration, in command convention, as feedback and on ~/cem."""
        header = Header(stamp=self._clock.now().to_msg(), frame_id=self._base_frame)
        plan_id = self._job.handle.goal_id
        message = to_iteration_message(iteration, plan_id, header)
        self._topics.iterations.publish(message)
        if self._topics.candidates.get_subscription_count():
            self._topics.candidates.publish(to_candidates_message(iteration, plan_id))
        self._job.handle.publish_feedback(PlanAction.Feedback(
            phase=PlanAction.Feedback.OPTIMIZING, iteration=message,
            progress=iteration.iteration / iteration.iterations))
