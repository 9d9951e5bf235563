# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report of a recorded plan, opened in a real browser."""

import base64
import json
import re

from browser import press
from mcap.reader import make_reader
import numpy as np
from planner_rig import closed_plans
import pytest
from rclpy.parameter import Parameter
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.history import figures
from vjepa2_planner_ros.history.bag import MCAP
from vjepa2_planner_ros.history.recorded import load
from vjepa2_planner_ros.history.report import page as report
from vjepa2_planner_ros.planning.actions import AXES

# Where the points of the replay are, and what its slider says.
POINTS = (
    "[...document.querySelectorAll('#replay .scatterlayer .point')].map("
    "point => point.getAttribute('transform'))"
)
LABEL = (
    "[...document.querySelectorAll('#replay .slider-label')].map("
    "text => text.textContent).find(text => text.startsWith('iteration'))"
)
# From where the landscape is seen.
EYE = (
    "JSON.stringify(document.getElementById('landscape3d')"
    '._fullLayout.scene._scene.getCamera().eye)'
)


@pytest.mark.slow
def test_in_a_browser_the_slider_moves_the_points_and_the_landscape_turns(
    robot, plans_folder, tmp_path, page
):
    robot.plan(iterations=4, samples=60)
    file = tmp_path / 'report.html'
    plan = load(closed_plans(plans_folder)[0])
    file.write_text(report(plan))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('#replay .point').length > 0")
    assert page.evaluate(
        "[...document.querySelectorAll('.plotly-graph-div')].map(plot => plot.id)"
    ) == ['energies', 'narrowing', 'landscape2d', 'landscape3d', 'replay']
    assert page.evaluate('[...document.images].map(image => image.naturalWidth)') == [32] * 3
    the_slider_moves_the_points(page)
    eye = page.evaluate(EYE)
    press(page, '#landscape3d canvas', (0.5, 0.5), (0.7, 0.5))
    page.wait_for_function(f'{EYE} != {json.dumps(eye)}')
    the_menu_chooses_the_axes(page, plan)
    assert page.requests and all(
        url.startswith(('file:', 'data:', 'blob:')) for url in page.requests
    )


def the_slider_moves_the_points(page):
    before = page.evaluate(POINTS)
    assert page.evaluate(LABEL) == 'iteration 1' and len(before) == 2 * (60 + 12 + 2)
    press(page, '#replay .slider-rail-touch-rect', (0.99, 0.3))
    page.wait_for_function(f"{LABEL} == 'iteration 4'")
    page.wait_for_function(f'JSON.stringify({POINTS}) != {json.dumps(json.dumps(before))}')
    after = page.evaluate(POINTS)
    assert sum(old != new for old, new in zip(before, after)) > 100


def the_menu_chooses_the_axes(page, plan):
    actions, values = figures.samples(plan)
    *_, grid = figures.field(actions[:, :2], values)
    row, column = np.argwhere(np.isfinite(grid))[0]
    field, points = (
        f"document.getElementById('landscape2d')._fullData[{trace}]" for trace in (0, 1)
    )
    drawn = f'[{field}.z[{row}][{column}], {points}.y[3], {points}.y.length]'
    expected = [float(grid[row, column]), float(actions[3, 1]), 240]
    assert page.evaluate(drawn) == pytest.approx(expected, rel=1e-6)
    press(page, '#landscape2d .updatemenu-header', (0.5, 0.5))
    buttons = '#landscape2d .updatemenu-dropdown-button'
    page.wait_for_function(f"document.querySelectorAll('{buttons}').length == 6")
    press(page, f'{buttons}:nth-of-type(2)', (0.5, 0.5))
    page.wait_for_function(
        "document.getElementById('landscape2d')._fullLayout.yaxis.title.text == 'z [m]'"
    )
    drawn = f'[{points}.y[3], {points}.y.length, {field}.z.length]'
    expected = [float(actions[3, 2]), 240, figures.CELLS]
    assert page.evaluate(drawn) == pytest.approx(expected, rel=1e-6)


def traces(html, name):
    """Return the traces and the layout of a plot in a page, as the browser gets them."""
    start = html.index('[', html.index(f'Plotly.newPlot(                        "{name}"'))
    decoder = json.JSONDecoder()
    data, end = decoder.raw_decode(html, start)
    return data, decoder.raw_decode(html, html.index('{', end))[0]


def numbers(array):
    """Return the numbers of an array, which plotly may have packed."""
    return list(
        np.frombuffer(base64.b64decode(array['bdata']), array['dtype'])
        if isinstance(array, dict)
        else array
    )


def test_a_report_says_what_was_found(robot, plans_folder):
    result = robot.plan(iterations=5, samples=60)
    plan = load(closed_plans(plans_folder)[0])
    html = report(plan)
    for name, text in (
        ('energy', f'{result.start_energy:.5f} (doing nothing) &rarr; {result.energy:.5f}'),
        ('confidence', f'{result.confidence:.2f} (not calibrated)'),
        (
            'time',
            f'{result.planning_time:.3f} s, of which encoding {result.encoding_time:.3f} s, '
            f'search {result.optimization_time:.3f} s',
        ),
    ):
        assert f'<tr><th>{name}</th><td>{text}</td></tr>' in html
    for value in result.command:
        assert f'<td class="number">{value:+.4f}</td>' in html
    assert 'steps' not in html[html.index('<body>') : html.index('id="energies"')]
    data, layout = traces(html, 'energies')
    (spread,) = (trace for trace in data if trace['name'] == 'elites, +- std')
    high = [step.energy_elite_mean + step.energy_elite_std for step in plan.iterations]
    assert spread['y'][:5] == pytest.approx(high) and layout['xaxis']['range'] == [0.5, 5.5]


@pytest.mark.parametrize('plot', ('landscape2d', 'landscape3d', 'replay'))
def test_the_command_is_marked_above_the_candidates(robot, plans_folder, plot):
    result = robot.plan(iterations=3, samples=60)
    data, layout = traces(report(load(closed_plans(plans_folder)[0])), plot)
    last = data[-1]
    x, y = (2, 6) if plot == 'replay' else (0, 1)  # its second pair of axes
    assert last['name'] == 'command'
    assert [numbers(last['x']), numbers(last['y'])] == [[result.command[x]], [result.command[y]]]
    if plot == 'landscape3d':
        assert layout['scene']['annotations'][-1]['text'] == 'command'
    else:
        assert last.get('showlegend', True) or data[-3]['showlegend']


def test_what_is_interpolated_or_cut_off_is_said(robot, plans_folder):
    robot.plan(iterations=3, samples=60)
    html = report(load(closed_plans(plans_folder)[0]))
    field, points = traces(html, 'landscape2d')[0][:2]
    assert field['type'] == 'contour' and field['name'] == 'interpolated'
    assert 'highest 5 %' in points['marker']['colorbar']['title']['text']
    assert 'nothing was measured there' in html


def test_the_field_is_the_mean_of_what_is_near():
    random = np.random.default_rng(1)
    places = random.uniform(-1.0, 1.0, (4000, 2))
    x, y, grid = figures.field(places, 3.0 * places[:, 0] - places[:, 1])
    inner = slice(6, -6)  # at the rim all neighbours are on one side
    exact = 3.0 * x[None, :] - y[:, None]
    assert np.abs(grid - exact)[inner, inner].max() < 0.15
    assert (x[0], y[-1]) == pytest.approx((places[:, 0].min(), places[:, 1].max()))
    far = places[np.abs(places).max(axis=1) > 0.7]
    assert np.isnan(figures.field(far, far[:, 0])[2][20, 20])
    few = random.uniform(-1.0, 1.0, (64, 2))
    assert np.isfinite(figures.field(few, few[:, 0])[2]).mean() > 0.9  # it reaches farther


def test_a_plan_of_two_steps_says_what_is_drawn(robot, plans_folder):
    robot.plan(iterations=2, samples=30, horizon=2)
    html = report(load(closed_plans(plans_folder)[0]))
    assert 'It is the first of 2 steps.' in html and 'those of the whole plan' in html


@pytest.mark.slow
def test_many_iterations_and_axes_are_legible_and_small(robot, plans_folder):
    robot.planner.set_parameters([Parameter('search.axes', value=AXES)])
    robot.plan(iterations=60, samples=400)
    robot.planner.set_parameters([Parameter('search.axes', value=['x', 'y', 'z', 'gripper'])])
    html = report(load(closed_plans(plans_folder)[0]))
    axis = traces(html, 'energies')[1]['xaxis']
    assert axis['range'] == [0.5, 60.5] and axis['dtick'] == 3
    (menu,) = traces(html, 'landscape2d')[1]['updatemenus']
    assert menu.get('type', 'dropdown') == 'dropdown' and len(menu['buttons']) == 21
    assert len(html) < 9 * 10**6  # of which plotly is 5


@pytest.mark.slow
def test_damage_is_in_the_report(robot, plans_folder):
    robot.plan(iterations=3, samples=30)
    (folder,) = closed_plans(plans_folder)
    with open(folder / MCAP, 'r+b') as file:
        index = make_reader(file).get_summary()
        (cem,) = (
            key for key, channel in index.channels.items() if channel.topic.endswith('/search')
        )
        place = [chunk for chunk in index.chunk_indexes if cem in chunk.message_index_offsets][1]
        file.seek(place.chunk_start_offset + place.chunk_length // 2)
        file.write(bytes(20))
    assert f'{place.chunk_length} bytes from {place.chunk_start_offset}' in report(load(folder))


def test_a_report_fetches_nothing(robot, plans_folder):
    robot.plan(iterations=2, samples=30)
    html = report(load(closed_plans(plans_folder)[0]))
    assert "default-src 'none'" in html
    body = html[html.index('<body>') :]
    assert not re.search(r'(src|href)\s*=\s*"(?!data:)', body)


def test_a_report_of_a_plan_that_failed_says_why(robot, plans_folder):
    with pytest.raises(PlanFailed):
        robot.plan(iterations=2, model='<other>')
    with pytest.raises(PlanFailed):
        robot.model.delay = 0.05
        robot.plan(iterations=99, time_allowance=0.12)
    html = report(load(closed_plans(plans_folder)[0]))
    assert 'aborted time_allowance = 0.12 s exceeded' in html
    assert 'id="energies"' in html and '<h2>Command' not in html


@pytest.mark.parametrize('search', (['x'], ['y', 'yaw'], ['x', 'y', 'z']))
def test_any_choice_of_axes_can_be_drawn(robot, plans_folder, search):
    robot.planner.set_parameters([Parameter('search.axes', value=search)])
    robot.plan(iterations=2, samples=30)
    robot.planner.set_parameters([Parameter('search.axes', value=['x', 'y', 'z', 'gripper'])])
    plan = load(closed_plans(plans_folder)[0])
    names = [AXES[axis] for axis in figures.searched_axes(plan)]
    assert names == search
    html = report(plan)
    assert ('id="replay"' in html) == (len(search) > 1)


def test_many_candidates_are_thinned_but_no_elite_is_left_out(robot, plans_folder):
    robot.plan(iterations=1, samples=figures.POINTS + 500)
    plan = load(closed_plans(plans_folder)[0])
    actions, energies = figures.samples(plan)
    assert len(actions) == len(energies) == figures.POINTS
    found = plan.candidates[1]
    drawn = {tuple(action) for action in actions}
    assert all(tuple(found.actions[elite, 0]) in drawn for elite in found.elites)
    assert f'{figures.POINTS} of the {figures.POINTS + 500} candidates' in report(plan)
