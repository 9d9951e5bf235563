# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser, against the real planner and simulator."""

import re

from conftest import eventually  # noqa: I100
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def files(pictures, tmp_path):
    """Return the paths of the start and the goal as files."""
    paths = tmp_path / 'start.png', tmp_path / 'goal.png'
    for path, picture in zip(paths, pictures):
        path.write_bytes(picture)
    return [str(path) for path in paths]


@pytest.fixture
def open_page(page, server):
    """Return a function that opens a page of the console; nothing is fetched from elsewhere."""

    def go(path='/'):
        page.goto(server.url + path)
        page.wait_for_selector('.chip .dot.good')
        return page

    yield go
    assert all(re.match(rf'({server.url}|data:|blob:)', url) for url in page.requests)


def choose(page, label, path):
    """Give a file to the picture of this label, and wait until it is shown."""
    section = page.locator(f'section[aria-label="{label}"]')
    section.locator('input[type=file]').set_input_files(path)
    section.locator('.drop.filled').wait_for()


def numbers(page):
    """Return the command that the page shows."""
    cells = page.locator('table.plain tbody td.number').all_inner_texts()
    return [float(text) for text in cells if text != '-']


def test_a_plan_from_two_files_to_the_command(open_page, files):
    page = open_page()
    choose(page, 'Current picture', files[0])
    choose(page, 'Goal picture', files[1])
    page.get_by_role('button', name='Plan', exact=True).click()
    page.get_by_text('planned', exact=True).wait_for()
    command = numbers(page)
    assert len(command) == 7 and any(command)
    best = page.evaluate("document.querySelector('.js-plotly-plot').data.at(-1).y")
    assert len(best) >= 2 and best == sorted(best, reverse=True)
    page.get_by_text(re.compile('planned in .* confidence')).wait_for()  # a notification


def test_the_camera_is_the_goal_and_a_plan_is_cancelled(open_page):
    page = open_page()
    goal = page.locator('section[aria-label="Goal picture"]')
    goal.get_by_role('button', name='Goal picture: Camera').click()
    goal.locator('.drop.filled').wait_for()
    page.get_by_label('Optimizer').click()
    page.get_by_role('option', name='cem').click()
    for name, value in (('Samples', '3000'), ('Iterations', '100')):
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_role('button', name='Plan', exact=True).click()
    page.get_by_text(re.compile('iteration [0-9]+ of 100')).wait_for()
    page.get_by_role('button', name='Cancel').click()
    page.get_by_text('cancelled', exact=True).wait_for()


def test_what_is_wrong_with_a_picture_is_told(open_page, tmp_path, server):
    page = open_page()
    page.allowed_faults = ['422']
    (tmp_path / 'goal.png').write_text('<script>alert(1)</script>')
    section = page.locator('section[aria-label="Goal picture"]')
    section.locator('input[type=file]').set_input_files(str(tmp_path / 'goal.png'))
    page.get_by_text(re.compile('no picture: allowed: jpeg, png or webp')).wait_for()


def test_the_page_comes_back_after_the_server_was_started_again(open_page, server):
    page = open_page()
    page.allowed_faults = ['ERR_CONNECTION_REFUSED', 'WebSocket']
    server.stop()
    server.start()
    eventually(lambda: server.ask('GET', '/api/system')[1]['planner'])
    page.wait_for_selector('.chip .dot.good')
    page.get_by_role('button', name='Plan', exact=True).wait_for()
