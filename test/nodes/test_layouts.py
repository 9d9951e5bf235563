# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts for rviz, rqt and Foxglove, against the topics of a running planner."""

import ast
from importlib import import_module
import json
from pathlib import Path

from planner_rig import eventually
from plot_fields import plottable
import pytest
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from vjepa2_planner_ros.messages.landscapes import FIELDS
import yaml

CONFIG = Path(__file__).resolve().parent.parent.parent / 'config'
IMAGE, CLOUD, MARKERS = (
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/PointCloud2',
    'visualization_msgs/msg/MarkerArray',
)
RVIZ_TYPES = {  # the types that rviz's displays subscribe to
    'rviz_default_plugins/Image': IMAGE,
    'rviz_default_plugins/PointCloud2': CLOUD,
    'rviz_default_plugins/MarkerArray': MARKERS,
}


@pytest.fixture
def offered(robot):
    """Return a function: what publishers there are of a topic of /planner, over DDS."""

    def publishers(topic):
        name = topic.replace('/planner/', f'{robot.planner.get_fully_qualified_name()}/', 1)
        eventually(lambda: robot.node.get_publishers_info_by_topic(name))
        return robot.node.get_publishers_info_by_topic(name)

    return publishers


def message_type(name):
    """Return the class of a type like std_msgs/msg/Header."""
    package, _, kind = name.split('/')
    return getattr(import_module(f'{package}.msg'), kind)


def topic_of(path, robot):
    """Return (topic, fields) of a path that starts with a topic of /planner, as rqt_plot does."""
    own = robot.planner.get_fully_qualified_name()
    topics = [
        name.replace(own, '/planner', 1)
        for name, _ in robot.node.get_topic_names_and_types()
        if name.startswith(own)
    ]
    topic = max((name for name in topics if path.startswith(f'{name}/')), key=len, default=None)
    assert topic is not None, path
    return topic, path[len(topic) + 1 :]


def displays():
    """Return the displays of rviz that have a topic."""
    everything = yaml.safe_load((CONFIG / 'planner.rviz').read_text())
    return [
        display
        for display in everything['Visualization Manager']['Displays']
        if 'Topic' in display
    ]


@pytest.mark.parametrize('display', displays(), ids=lambda display: display['Name'])
def test_every_display_of_rviz_gets_its_topic(offered, display):
    assert display['Enabled'] and display['Value']
    topic = display['Topic']
    [publisher] = offered(topic['Value'])
    assert publisher.topic_type == RVIZ_TYPES[display['Class']]
    assert publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    latched = publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert topic['Durability Policy'] == ('Transient Local' if latched else 'Volatile')
    if publisher.topic_type == CLOUD:
        assert display['Channel Name'] in FIELDS


def test_rviz_shows_everything_that_can_be_drawn(robot):
    own = robot.planner.get_fully_qualified_name()
    drawable = {
        name.replace(own, '/planner', 1)
        for name, kinds in robot.planner.get_publisher_names_and_types_by_node(
            robot.planner.get_name(), robot.planner.get_namespace()
        )
        if set(kinds) & set(RVIZ_TYPES.values())
    }
    assert drawable == {display['Topic']['Value'] for display in displays()}


def plugins():
    """Yield (plugin, its settings) of the rqt perspective."""
    manager = json.loads((CONFIG / 'planner.perspective').read_text())['groups']['pluginmanager']
    running = ast.literal_eval(manager['keys']['running-plugins']['repr'])
    for plugin, numbers in running.items():
        for number in numbers:
            group = manager['groups'][f'plugin__{plugin.replace("/", "__")}__{number}']
            keys = group['groups']['plugin']['keys']
            assert all(value['type'] == 'repr' for value in keys.values())
            yield plugin, {name: ast.literal_eval(value['repr']) for name, value in keys.items()}


def test_rqt_can_draw_every_field_of_its_plots(robot, offered):
    paths = [
        path
        for plugin, settings in plugins()
        if plugin == 'rqt_plot/Plot'
        for path in settings['topics']
    ]
    assert {
        f'/planner/{name}'
        for name in (
            'search/energy_best',
            'search/std[0]',
            'metrics/plan_time',
            'metrics/image_age',
        )
    } <= set(paths)
    offered('/planner/search')
    for path in paths:
        topic, fields = topic_of(path, robot)
        [publisher] = offered(topic)
        assert fields in set(plottable(message_type(publisher.topic_type))), path


def test_rqt_shows_pictures(offered):
    topics = [
        settings['topic'] for plugin, settings in plugins() if plugin == 'rqt_image_view/ImageView'
    ]
    assert len(topics) == 3
    for topic in topics:
        assert [publisher.topic_type for publisher in offered(topic)] == [IMAGE]


def leaves(layout):
    """Yield the panels of a Foxglove layout."""
    if isinstance(layout, str):
        yield layout
    else:
        yield from leaves(layout['first'])
        yield from leaves(layout['second'])


def test_foxglove_gets_every_topic_and_field(offered):
    everything = json.loads((CONFIG / 'foxglove_layout.json').read_text())
    panels = everything['configById']
    assert sorted(leaves(everything['layout'])) == sorted(panels)
    kinds = {panel.partition('!')[0] for panel in panels}
    assert kinds == {'3D', 'Plot', 'Image', 'DiagnosticSummary'}
    for panel, settings in panels.items():
        for path in settings.get('paths', ()):
            topic, _, fields = path['value'].partition('.')
            [publisher] = offered(topic)
            allowed = set(plottable(message_type(publisher.topic_type)))
            assert fields.replace('.', '/') in allowed, path['value']
        if panel.startswith('Image!'):
            [publisher] = offered(settings['imageMode']['imageTopic'])
            assert publisher.topic_type == IMAGE
        for topic, shown in settings.get('topics', {}).items():
            [publisher] = offered(topic)
            assert publisher.topic_type in (CLOUD, MARKERS) and shown['visible']
            assert shown.get('colorField', 'energy') in FIELDS
        if 'topicToRender' in settings:
            assert offered(settings['topicToRender'])[0].topic_type == (
                'diagnostic_msgs/msg/DiagnosticArray'
            )
