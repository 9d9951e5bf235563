# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pages in the Chromium that is installed, headless, driven by Playwright."""

import shutil

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chromium-browser'))), None
)
OPTIONS = (
    '--no-sandbox',
    '--disable-background-networking',
    '--use-angle=swiftshader',  # WebGL without a GPU
    '--enable-unsafe-swiftshader',
)
PATIENCE = 120_000  # ms; a browser is slow on a busy machine


@pytest.fixture(scope='session')
def patient_chromium(tmp_path_factory):
    """Return a program that runs Chromium last: drawing without a GPU it takes every processor."""
    program = tmp_path_factory.mktemp('browser') / 'chromium'
    program.write_text(f'#!/bin/sh\nexec nice -n 19 {CHROMIUM} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture(scope='module')
def chromium(patient_chromium):
    """Start the browser of a module's tests; not of all: its event loop fills the thread."""
    if CHROMIUM is None:
        pytest.skip('no Chromium here: apt-get install chromium')
    sync_api = pytest.importorskip('playwright.sync_api')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=patient_chromium, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """
    Return an empty Page of Playwright with a profile of its own; nothing may go wrong in it.

    Its attribute requests holds the URLs of everything that it has fetched; a fault with one of
    allowed_faults in its text is none.
    """
    page = chromium.new_page(viewport={'width': 1200, 'height': 900})
    page.context.set_default_timeout(PATIENCE)
    page.requests, page.allowed_faults, faults = [], [], []
    page.on('request', lambda request: page.requests.append(request.url))
    page.on('pageerror', lambda error: faults.append(str(error)))
    page.on('console', lambda line: line.type == 'error' and faults.append(line.text))
    yield page
    print(page.evaluate('document.body?.innerText'))  # shown of a test that fails
    page.context.close()
    assert not [each for each in faults if not any(text in each for text in page.allowed_faults)]


def press(page, selector, start, end=None):
    """Press the mouse in an element and release it elsewhere there (shares of its size)."""
    element = page.locator(selector)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()

    def move(across, down):
        page.mouse.move(box['x'] + across * box['width'], box['y'] + down * box['height'])

    move(*start)
    page.mouse.down()
    move(*(end or start))
    page.mouse.up()
