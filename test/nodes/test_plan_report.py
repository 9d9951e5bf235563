# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report of a recorded plan, opened in a real browser."""

import json
import re

from browser import CHROMIUM, Page
from planner_rig import closed_plans, eventually
import pytest
from rclpy.parameter import Parameter

from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.plans import figures
from vjepa2_planner_ros.plans.recorded import load
from vjepa2_planner_ros.plans.report import page

# Where the points of the replay are, and what its slider says.
POINTS = ("[...document.querySelectorAll('#replay .scatterlayer .point')].map("
          "point => point.getAttribute('transform'))")
LABEL = ("[...document.querySelectorAll('#replay .slider-label')].map("
         "text => text.textContent).find(text => text.startsWith('iteration'))")
# From where the landscape is seen.
EYE = ("JSON.stringify(document.getElementById('landscape3d')"
       '._fullLayout.scene._scene.getCamera().eye)')


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium here: apt-get install chromium')
def test_in_a_browser_the_slider_moves_the_points_and_the_landscape_turns(
        robot, plans_folder, tmp_path):
    robot.plan(iterations=4, samples=60)
    file = tmp_path / 'report.html'
    file.write_text(page(load(closed_plans(plans_folder)[0])))
    with Page(file, tmp_path / 'profile') as report:
        report.wait_for("document.querySelectorAll('#replay .point').length > 0")
        assert report.evaluate(
            "[...document.querySelectorAll('.plotly-graph-div')].map(plot => plot.id)"
        ) == ['energies', 'narrowing', 'landscape2d', 'landscape3d', 'replay']
        assert report.evaluate('[...document.images].map(image => image.naturalWidth)') == [32] * 3
        before = report.evaluate(POINTS)
        assert report.evaluate(LABEL) == 'iteration 1' and len(before) == 2 * (60 + 12)
        report.press('#replay .slider-rail-touch-rect', (0.99, 0.3))
        report.wait_for(f"{LABEL} == 'iteration 4'")
        report.wait_for(f'JSON.stringify({POINTS}) != {json.dumps(json.dumps(before))}')
        after = report.evaluate(POINTS)
        assert sum(one != other for one, other in zip(before, after)) > 100
        eye = report.evaluate(EYE)
        report.press('#landscape3d canvas', (0.5, 0.5), (0.7, 0.5))
        report.wait_for(f'{EYE} != {json.dumps(eye)}')
        assert report.faults() == []


def test_a_report_fetches_nothing(robot, plans_folder):
    robot.plan(iterations=2, samples=30)
    html = page(load(closed_plans(plans_folder)[0]))
    assert "default-src 'none'" in html
    body = html[html.index('<body>'):]
    assert not re.search(r'(src|href)\s*=\s*"(?!data:)', body)


def test_a_report_of_a_plan_that_failed_says_why(robot, plans_folder):
    with pytest.raises(PlanFailed):
        robot.plan(iterations=2, model='<other>')
    with pytest.raises(PlanFailed):
        robot.model.delay = 0.05
        robot.plan(iterations=99, time_allowance=0.12)
    html = page(load(closed_plans(plans_folder)[0]))
    assert 'aborted time_allowance = 0.12 s exceeded' in html
    assert 'id="energies"' in html and '<h2>Command' not in html


@pytest.mark.parametrize('search', (['x'], ['y', 'yaw'], ['x', 'y', 'z']))
def test_any_choice_of_axes_can_be_drawn(robot, plans_folder, search):
    robot.planner.set_parameters([Parameter('cem.search', value=search)])
    robot.plan(iterations=2, samples=30)
    robot.planner.set_parameters([Parameter('cem.search', value=['x', 'y', 'z', 'gripper'])])
    plan = load(closed_plans(plans_folder)[0])
    names = [figures.AXES[axis][0] for axis in figures.searched_axes(plan)]
    assert names == search
    html = page(plan)
    assert ('id="replay"' in html) == (len(search) > 1)


def test_many_candidates_are_thinned_but_no_elite_is_left_out(robot, plans_folder):
    robot.plan(iterations=1, samples=figures.POINTS + 500)
    plan = load(closed_plans(plans_folder)[0])
    actions, energies = figures.samples(plan)
    assert len(actions) == len(energies) == figures.POINTS
    found = plan.candidates[1]
    drawn = {tuple(action) for action in actions}
    assert all(tuple(found.actions[elite, 0]) in drawn for elite in found.elites)
    eventually(lambda: f'{figures.POINTS} of the {figures.POINTS + 500} candidates' in page(plan))
