# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner as a lifecycle node with the action server `plan`."""

from collections import Counter
import math
import time
import traceback

from action_msgs.srv import CancelGoal
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import psutil
from rcl_interfaces.msg import SetParametersResult
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vjepa2_interfaces.action import PlanAction

from . import parameters
from .diagnostics import judge, to_diagnostics
from .errors import GoalError, GoalStopped
from .goal_end import end_goal, OUTCOMES
from .goal_reader import read_goal
from .goal_slot import GoalSlot, StopReason
from .messages import to_result_message
from .observations import Observations
from .process import run
from .reporting import GoalReport, Topics
from ..error_codes import ErrorCode

# The default depth of 10 silently drops what goes beyond: feedback of fast plans, and requests of
# clients that send goal upon goal.
DEEP = QoSProfile(depth=200)


def _load_world_model(*args, **kwargs):
    from ..world_model import load_world_model  # needs torch: not before the node is configured
    return load_world_model(*args, **kwargs)


class PlannerNode(LifecycleNode):
    """
    Answers goal pictures with commands; see PlanAction.action.

    Configure loads and warms up the world model, activate accepts goals, deactivate ends the
    running goal, cleanup gives the memory back.

    :param load_model: like world_model.load_world_model, which is the default.
    """

    def __init__(self, *, load_model=_load_world_model, **node_options):
        super().__init__('planner', **node_options)
        settings, cameras = parameters.declare(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self._load_model = load_model
        self._torch = None
        self._server = None
        self._state = 'unconfigured'
        self._failure = ''
        self._last_plan_time = self._iteration_rate = math.nan
        self._process = psutil.Process()
        self._outcomes = Counter()
        self._slot = GoalSlot(self._execute, self.get_logger())
        self._topics = Topics(self)
        self._observations = Observations(self, cameras, settings)
        self._action_name = self.resolve_service_name('plan')
        self._canceller = self.create_client(
            CancelGoal, f'{self._action_name}/_action/cancel_goal',
            callback_group=ReentrantCallbackGroup())
        self.create_service(
            Trigger, '~/cancel', self._cancel_all, callback_group=ReentrantCallbackGroup())
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(
            1.0, self._publish_diagnostics, callback_group=MutuallyExclusiveCallbackGroup())
        if settings.autostart:
            # A group of its own, so that services answer while the model is loaded.
            self._starter = self.create_timer(
                0.0, self._autostart, callback_group=MutuallyExclusiveCallbackGroup())

    # Lifecycle. rclpy swallows what a transition raises, so everything is caught here.

    def on_configure(self, state):
        """Load and warm up the model; stay unconfigured if that fails."""
        settings = parameters.read(self)
        began = time.monotonic()
        try:
            from .torch_thread import TorchThread
            self._torch = TorchThread(self._load_model)
            self._torch.load(settings)
        except ImportError as error:
            return self._configure_failed(
                f'{error}: PyTorch is needed, install it with: pip install torch')
        except Exception as error:
            self.get_logger().debug(traceback.format_exc())
            return self._configure_failed(
                f"model '{settings.model}' cannot be loaded: {type(error).__name__}: {error}")
        model = self._torch.model
        self._observations.prepare(settings, model.frame_period)
        self.get_logger().info(
            f'{model.name} is loaded on {model.device} in {model.dtype}, after '
            f'{time.monotonic() - began:.1f} s')
        self._state, self._failure = 'inactive', ''
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state):
        """Accept goals."""
        if self._server is None:
            # From here on the server stays: results of goals that deactivation ended are still
            # to be fetched. Clients that wait for a server wait until the model is loaded.
            self._server = ActionServer(
                self, PlanAction, 'plan', execute_callback=lambda handle: PlanAction.Result(),
                goal_callback=self._on_goal, handle_accepted_callback=self._on_accepted,
                cancel_callback=self._on_cancel, callback_group=ReentrantCallbackGroup(),
                goal_service_qos_profile=DEEP, result_service_qos_profile=DEEP,
                cancel_service_qos_profile=DEEP, feedback_pub_qos_profile=DEEP,
                result_timeout=self.get_parameter('result_timeout').value)
        self._state = 'active'
        self.get_logger().info(f"Goals are accepted on action '{self._action_name}'")
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state):
        """Reject goals from now on and end the running one with NODE_DEACTIVATED."""
        self._state = 'inactive'
        self._slot.stop_all(StopReason.DEACTIVATED)
        self._slot.wait_until_idle()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state):
        """Give the model's memory back."""
        self._state = 'unconfigured'
        if self._torch is not None:
            self._torch.unload()
            self._torch.close()
            self._torch = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state):
        """End the running goal and give the model's memory back."""
        self.on_deactivate(state)
        self.on_cleanup(state)
        self._state = 'finalized'
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state):
        """Return to unconfigured, from where configuring can be tried again."""
        return self.on_cleanup(state)

    def stop(self, timeout) -> bool:
        """End the running goal; return whether torch came to rest within timeout [s]."""
        self._state = 'finalized'
        self._slot.stop_all(StopReason.DEACTIVATED)
        self._slot.wait_until_idle(timeout)
        if self._torch is None:
            return True
        self._torch.close()
        return not self._torch.busy

    def _autostart(self):
        self._starter.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _configure_failed(self, failure):
        self.get_logger().error(failure)
        self._failure = failure
        self.on_cleanup(None)
        return TransitionCallbackReturn.FAILURE

    def _check_parameters(self, changed):
        names = {parameters.parameter_name(row) for row in parameters.fields(parameters.Settings)}
        try:
            parameters.check(parameters.read(
                self, [item for item in changed if item.name in names]))
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    # Goals. Everything a client should branch on is accepted and answered with a code, because
    # a rejection carries no reason.

    def _on_goal(self, goal):
        if self._state == 'active':
            self._slot.announce(goal)
            return GoalResponse.ACCEPT
        self.get_logger().warning(f'Goal rejected: the node is {self._state}, not active')
        return GoalResponse.REJECT

    def _on_accepted(self, handle):
        self._slot.submit(self._slot.job_of(handle))

    def _on_cancel(self, handle):
        job = self._slot.job_of(handle)
        job.stop(StopReason.CANCELLED)
        # Yes also for a goal that another reason stops: it ends, and of several goals in one
        # request rclpy passes over the one after a goal that says no.
        return CancelResponse.ACCEPT if job.stopped() else CancelResponse.REJECT

    async def _cancel_all(self, request, response):
        """Cancel by the action's own service, so that goals end as for any other client."""
        if not self._canceller.service_is_ready():
            response.message = 'no goal was running'
            return response
        answer = await self._canceller.call_async(CancelGoal.Request())
        response.success = bool(answer.goals_canceling)
        response.message = (
            f'{len(answer.goals_canceling)} goals cancelled' if response.success
            else 'no goal was running')
        return response

    def _execute(self, job):
        """Plan for a goal and bring it to its end; never raises."""
        began = time.monotonic()
        result = failure = None
        try:
            result = self._plan(job, began)
        except GoalStopped:
            pass  # the job knows why
        except GoalError as error:
            failure = error
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            failure = GoalError(ErrorCode.UNKNOWN, f'{type(error).__name__}: {error}')
        elapsed = time.monotonic() - began
        result, outcome = end_goal(job, result, failure, elapsed, self.get_logger())
        self._outcomes[outcome] += 1
        if outcome == 'succeeded':
            self._last_plan_time = elapsed
        return result

    def _plan(self, job, began):
        if self._state != 'active':
            job.stop(StopReason.DEACTIVATED)
        job.raise_if_stopped()
        torch_thread = self._torch
        model = torch_thread.model.name
        goal = read_goal(job.handle.request, parameters.read(self), model)
        settings = goal.settings
        self._observations.prepare(settings, torch_thread.model.frame_period)
        deadline = began + goal.allowance if goal.allowance else math.inf
        self.get_logger().info(
            f'Goal {job.name}: {settings.cem_samples} samples x {settings.cem_iterations} '
            f"iterations, horizon {settings.cem_horizon}, camera '{goal.camera}'")
        frames, states, stamp = self._observe(job, goal, deadline)
        camera = None
        if torch_thread.model.action_dim == 3:
            camera = self._observations.hand_camera(
                goal.camera, frames[-1].shape[:2], settings, job.raise_if_stopped, deadline)
        header = Header(stamp=Time(sec=stamp // 10 ** 9, nanosec=stamp % 10 ** 9),
                        frame_id=settings.base_frame)
        from .torch_thread import Request
        report = GoalReport(job, self._topics, self.get_clock(), settings.base_frame,
                            Header(stamp=header.stamp, frame_id=goal.camera))
        answer = torch_thread.plan(
            Request(goal.picture, frames, states, settings, goal.allowance, deadline, camera),
            report)
        self._iteration_rate = settings.cem_iterations / answer.optimization_time
        return to_result_message(
            answer, header, model, job.handle.goal_id, time.monotonic() - began)

    def _observe(self, job, goal, deadline):
        """Return the frames to plan from, the current one last, their states [T, 7], its stamp."""
        streams, stop = self._observations, job.raise_if_stopped
        frame, stamp, state = goal.frame, goal.frame_stamp, goal.state
        past = []
        if frame is None:
            frame, stamp = streams.frame(goal.camera, goal.settings, stop, deadline)
        if state is None:
            state = streams.state(stamp or None, goal.settings, stop, deadline)
            if goal.frame is None:
                past = streams.past(goal.camera, stamp, goal.settings)
        frames, states = zip(*past, (frame, state))
        return frames, np.stack(states), stamp

    def _publish_diagnostics(self):
        settings = parameters.read(self)
        ages = {'image': self._observations.age_of_frame(settings.cameras[0]),
                'state': self._observations.age_of_state()}
        model = self._torch.model if self._torch else None
        values = {
            'state': self._state, 'model': settings.model if model is None else model.name,
            'device': getattr(model, 'device', settings.device),
            'dtype': getattr(model, 'dtype', settings.dtype),
            'last plan [s]': f'{self._last_plan_time:.3f}',
            'iterations a second': f'{self._iteration_rate:.2f}',
            **{f'{name} age [s]': 'never seen' if age is None else f'{age:.3f}'
               for name, age in ages.items()},
            **{f'goals {name}': self._outcomes[name] for name in OUTCOMES},
            'memory [MB]': f'{self._process.memory_info().rss / 1e6:.0f}'}
        if self._torch and self._torch.gpu_memory is not None:
            values['GPU memory [MB]'] = f'{self._torch.gpu_memory / 1e6:.0f}'
        self._diagnostics.publish(to_diagnostics(
            self.get_clock().now().to_msg(), self.get_fully_qualified_name(),
            str(values['device']), judge(self._state, self._failure, ages, settings), values))


def main(args=None):
    """Run the planner until SIGINT or SIGTERM; return the exit code."""
    return run(PlannerNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
