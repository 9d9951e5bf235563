# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command doctor as a process, with and without a planner."""

from contextlib import contextmanager
import os
import re
import subprocess
import sys
import threading

from geometry_msgs.msg import PoseStamped
import pytest
import rclpy
from sensor_msgs.msg import CompressedImage, JointState
from vjepa2_planner_ros.cli.doctor_streams import listen, problem, skew, Stream
from vjepa2_planner_ros.messages.input_settings import GripperSettings
from vjepa2_planner_ros.nodes.process import free_domain
from vjepa2_planner_ros.nodes.settings import Settings

pytestmark = pytest.mark.slow
NO_TORCH = """
import sys
sys.modules['torch'] = None
from vjepa2_planner_ros.cli.doctor import main
sys.exit(main())
"""


def doctor(*arguments, code=('-m', 'vjepa2_planner_ros.cli.doctor'), **environment):
    """Return (exit code, {name: (level, text)}) of the command."""
    ended = subprocess.run(
        [sys.executable, *code, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    assert 'Traceback' not in ended.stderr, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line]
    # level, name and text; a name may be longer than its column
    parts = [(line[:5].strip(), line[5:25].strip(), line[25:].strip()) for line in lines]
    for level, *_ in parts:
        assert level in ('OK', 'WARN', 'FAIL'), ended.stdout
    return ended.returncode, parts, ended.stdout


def doctor_of(name):
    """
    Return what doctor() returns once it has heard a planner.

    On a busy machine it may be heard a call later.
    """
    for _ in range(5):
        answer = doctor('--wait', '5')
        if f'{name}: ' in answer[2]:
            return answer
    raise AssertionError(f'{name} is not heard: {answer[2]}')


@contextmanager
def other_process(kind, topic):
    """Publish a type from another participant: one participant has one type on a topic."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('camera', context=context, use_global_arguments=False)
    node.create_publisher(kind, topic, 10)
    yield
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_without_a_planner(tmp_path):
    code, lines, output = doctor(
        *('--wait', '0.5'),
        ROS_DOMAIN_ID=str(free_domain()),
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
        ROS_LOG_DIR=str(tmp_path),
    )
    found = {name: (level, text) for level, name, text in lines}
    assert code == 0, output
    names = ['package', 'Python', 'ROS 2', 'middleware', 'PyTorch', 'device and dtype', 'memory']
    names += ['model cache', 'weights', 'Fast DDS profile', 'domain', 'log folder', 'planner']
    assert [name for name in names if name not in found] == []
    assert 'sim-panda-ac' in found['weights'][1] and 'torch.' not in output
    assert found['log folder'] == ('OK', str(tmp_path))
    assert 'LOCALHOST' in found['domain'][1] and 'none is heard' in found['planner'][1]


def test_what_fails_is_said_with_what_to_do():
    code, lines, output = doctor(
        *('--wait', '0.1'),
        code=('-c', NO_TORCH),
        ROS_DOMAIN_ID=str(free_domain()),
        FASTDDS_DEFAULT_PROFILES_FILE='/nowhere/\x1b[31mfastdds.xml',
    )
    found = {name: (level, text) for level, name, text in lines}
    assert code == 1
    assert found['PyTorch'][0] == 'FAIL' and 'pip install torch' in found['PyTorch'][1]
    assert found['weights'] == ('WARN', 'not looked for: PyTorch is missing')
    assert found['Fast DDS profile'][0] == 'FAIL'
    assert r'/nowhere/\x1b[31mfastdds.xml' in output and '\x1b' not in output


def test_with_a_planner_its_streams_are_listed(robot):
    name = robot.planner.get_fully_qualified_name()
    code, lines, output = doctor_of(name)
    assert f'{name}: ready' in output and code == 0, output
    assert any('active' in text for _, label, text in lines if label == 'state')
    for stream, kind in (('image', 'Image'), ('pose', 'PoseStamped'), ('gripper', 'JointState')):
        (line,) = [one for one in output.splitlines() if f'{name}/{stream} ' in one]
        assert line.startswith('OK') and f'/msg/{kind} from ' in line and 'QoS matches' in line
        rate, age = re.search(r', ([\d.e+]+) Hz, (-?\d+\.\d+) s old', line).groups()
        assert 0.0 < float(rate) < 60.0 and abs(float(age)) < 5.0  # the robot sends 50 a second
    assert ', rgb8 32 x 32, frame' in output and ", frame 'panda_link0', 0." in output
    assert output.count(' s from the frames') == 2 and ', panda_finger_joint1, ' in output


def test_a_publisher_of_another_type_and_a_silent_topic_fail(make_robot):
    robot = make_robot(sending=()).ready()  # else only the planner of other tests may be heard
    name = robot.planner.get_fully_qualified_name()
    robot.node.destroy_publisher(robot.poses)
    robot.node.destroy_publisher(robot.pictures)
    with other_process(CompressedImage, f'{name}/image'):
        code, _, output = doctor_of(name)
    assert code == 1
    lines = [line for line in output.splitlines() if line.startswith('FAIL')]
    assert any(
        '/image' in line and 'publishes sensor_msgs/msg/CompressedImage' in line for line in lines
    )
    assert any('/pose' in line and 'nobody publishes' in line for line in lines)


def test_what_a_plan_would_fail_for_is_said_of_each_stream(make_robot):
    # Every stream arrives, and of each something is wrong.
    robot = make_robot(
        base_frame='fr3_link0', gripper__joint='fr3_finger_joint1', max_image_age=0.5, max_skew=0.2
    )
    assert robot.client.wait_until_ready(60.0)
    robot.delay['image'] = 1.0
    name = robot.planner.get_fully_qualified_name()
    expected = {
        'gripper': "gripper.joint = 'fr3_finger_joint1': allowed: panda_finger_joint1",
        'image': 'allowed: max_image_age = 0.5 s; synchronise the clocks',
        'pose': "pose.header.frame_id = 'panda_link0': allowed: 'fr3_link0'",
    }

    def told():
        """Return whether all of it is said; in its short time doctor may miss a late message."""
        code, _, output = doctor_of(name)
        lines = [line for line in output.splitlines() if line.startswith(f'FAIL {name}/')]
        found = {line.split()[1].removeprefix(f'{name}/'): line for line in lines}
        print(output)
        return code == 1 and all(text in found.get(key, '') for key, text in expected.items())

    assert any(told() for _ in range(4))


def test_the_skew_is_that_of_what_is_there_at_one_time():
    frames = Stream('sensor_msgs/msg/Image')
    poses = Stream('geometry_msgs/msg/PoseStamped', newest=PoseStamped())
    # At 50 Hz both; a pose comes 0.5 s after it was measured, a frame at once.
    for stream, delay in ((frames, 0.0), (poses, 0.5)):
        stream.arrivals = [0.02 * count for count in range(100)]
        stream.stamps = [round((arrival - delay + 10.0) * 1e9) for arrival in stream.arrivals]
    apart = skew(poses, [frames])
    assert apart == pytest.approx(0.5)
    assert 'allowed: max_skew = 0.25 s from the frames' in problem(poses, apart, Settings())
    # A frame that comes late is matched by an earlier pose: of the first, nothing is known.
    assert skew(frames, [poses]) == pytest.approx(0.0)
    assert skew(Stream('geometry_msgs/msg/PoseStamped'), [frames]) is None


def test_an_arm_at_1_khz_hides_no_gripper():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=free_domain())
    node = rclpy.create_node('doctor_test', context=context, use_global_arguments=False)
    robot = rclpy.create_node('robot', context=context, use_global_arguments=False)
    publisher = robot.create_publisher(JointState, 'joint_states', 10)
    ended = threading.Event()

    def publish():
        count = 0
        while not ended.wait(0.001):
            count += 1
            names = ['finger'] if count % 33 == 0 else ['joint1', 'joint2']
            message = JointState(name=names, position=[0.5] * len(names))
            message.header.stamp = robot.get_clock().now().to_msg()
            publisher.publish(message)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        kinds = {'joint_states': 'sensor_msgs/msg/JointState'}
        stream = listen(node, kinds, 'finger')['joint_states']
        other = listen(node, kinds, 'thumb')['joint_states']
    finally:
        ended.set()
        thread.join()
        node.destroy_node()
        robot.destroy_node()
        rclpy.shutdown(context=context)
    assert list(stream.newest.name) == ['finger'] and stream.joints == {'joint1', 'joint2'}
    assert 0.0 < stream.rate < 60.0
    settings = Settings(gripper=GripperSettings(joint='finger', closed_position=1.0))
    assert problem(stream, None, settings) == ''
    settings = Settings(gripper=GripperSettings(joint='thumb'))
    assert other.newest is None
    assert problem(other, None, settings) == (
        "gripper.joint = 'thumb': allowed: finger, joint1, joint2"
    )
