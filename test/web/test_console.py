# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the console by themselves, on a node of their own; no page is open."""

import asyncio
import time

from conftest import eventually
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
import rclpy
from vjepa2_planner_ros.cli.web import main
from vjepa2_planner_ros.nodes.process import free_domain
from vjepa2_planner_ros.web import history
from vjepa2_planner_ros.web.checks import CheckRequest, Checks
from vjepa2_planner_ros.web.console import Console
from vjepa2_planner_ros.web.layout import planner_state
from vjepa2_planner_ros.web.link import Link
from vjepa2_planner_ros.web.news import News


@pytest.fixture
def default_context(monkeypatch):
    """Let rclpy make a new default context: that of the process may be in use."""
    monkeypatch.setattr(rclpy.utilities, 'g_default_context', None)


@pytest.fixture
def link(monkeypatch, default_context):
    """Return the console's node in the namespace /arm1 of an empty domain."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(free_domain()))
    rclpy.init(args=['--ros-args', '-r', '__ns:=/arm1'])
    link = Link()
    yield link
    link.close()
    rclpy.shutdown()


def test_the_state_shown_is_that_of_the_planner_of_the_own_namespace(link):
    told = link.node.create_publisher(DiagnosticArray, '/diagnostics', 10)
    console = Console(link, None, 1.0)

    def tell(name, message):
        status = DiagnosticStatus(name=name, level=DiagnosticStatus.WARN, message=message)
        told.publish(DiagnosticArray(status=[status]))
        return name in link.heard().diagnostics

    eventually(lambda: tell('/arm2/planner: planner', 'no picture'))
    assert planner_state(console) == ('bad', 'no planner is heard: start planner_node')
    eventually(lambda: tell('/arm1/planner: planner', 'no pose'))
    assert planner_state(console) == ('warn', 'planner no pose')


@pytest.mark.slow
def test_that_the_console_stands_still_is_no_silence_of_the_browser(link, monkeypatch):
    runs, stops = Console(link, None, 1.0).runs, []

    async def stop(why):
        stops.append(why)

    async def run():
        runs.armed_by = 'page'
        runs.beat('page')
        watch = asyncio.create_task(runs._watch_over())
        await asyncio.sleep(0.3)
        time.sleep(2.0)
        await asyncio.sleep(0.05)  # the signs of life wait with all else
        runs.beat('page')
        await asyncio.sleep(0.3)
        assert not stops
        await watch
        assert stops == ['the browser that armed the arm has gone']

    monkeypatch.setattr(runs, 'stop', stop)
    asyncio.run(run())


def test_an_arm_that_another_browser_has_armed_is_not_taken_over(link):
    runs = Console(link, None, 1.0).runs
    runs.armed_by = 'one'
    with pytest.raises(RuntimeError, match='another browser has armed it'):
        asyncio.run(runs.arm('other'))
    assert runs.armed_by == 'one'


def test_what_two_pages_delete_is_kept_when_one_takes_it_back(link, monkeypatch):
    monkeypatch.setattr(history, 'UNDO_WITHIN', 0.1)

    async def run():
        news = News()
        deletions = history.Deletions(link, news)
        deletions.begin('a')
        deletions.begin('a')
        assert deletions.undo('a') and 'a' not in deletions
        await asyncio.sleep(2.0)  # by then one that goes on has told that it finds no planner
        return news.after(0)

    assert asyncio.run(run()) == []


def test_a_check_is_cancelled_before_its_process_has_begun(link, tmp_path):
    np.savez(tmp_path / 'drive.npz', frames=np.zeros(1), states=np.zeros(1))

    async def run():
        checks = Checks(link, News(), tmp_path)
        check = await checks.begin(CheckRequest(kind='check', recording='drive.npz'))
        checks.cancel(check)
        await asyncio.wait_for(checks._task, 20.0)
        return check

    check = asyncio.run(run())
    assert check.state == 'cancelled' and not check.lines


@pytest.mark.parametrize(
    'option, value, allowed',
    (
        ('port', '0', '1 to 65535'),
        ('port', '65536', '1 to 65535'),
        ('port', '-1', '1 to 65535'),
        ('browser-timeout', '0', '0.5 to 30 s'),
        ('browser-timeout', 'nan', '0.5 to 30 s'),
    ),
)
def test_a_value_out_of_range_is_refused(option, value, allowed, capsys, default_context):
    assert main([f'--{option}', value]) == 1
    assert f'{option} = {value}: allowed: {allowed}' in capsys.readouterr().err
