# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every page has: its place in the frame, the planner's state, STOP, notifications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import inspect
from typing import Any

from fastapi import Request
from nicegui import ui

from .console import Console
from .link import PLANNER
from .system import told_by

HEAD = (
    '<link rel="stylesheet" href="/static/console.css"><script src="/static/console.js"></script>'
)
COLOURS = {
    False: {
        'primary': '#0b6e8a',
        'negative': '#b3261e',
        'positive': '#22733f',
        'warning': '#8a5a00',
    },
    True: {
        'primary': '#58bad6',
        'negative': '#b3261e',
        'positive': '#22733f',
        'warning': '#8a5a00',
    },
}
PAGES: list[Page] = []  # in the order of the navigation


@dataclass(frozen=True)
class View:
    """What a page is built with."""

    console: Console
    dark: bool


@dataclass(frozen=True)
class Page:
    """A page of the console; build makes its content."""

    path: str
    title: str
    icon: str
    lead: str
    build: Callable[[View], Awaitable[None] | None]

    def register(self, console: Console) -> None:
        """Make the page known to NiceGUI."""
        PAGES.append(self)

        @ui.page(self.path, title=f'{self.title} - V-JEPA 2 console', response_timeout=20.0)
        async def show(request: Request) -> None:
            view = View(console, request.cookies.get('vjepa2_theme') == 'dark')
            with _frame(view, self):
                built = self.build(view)
                if inspect.isawaitable(built):
                    await built


@contextmanager
def _frame(view: View, page: Page) -> Iterator[None]:
    ui.add_head_html(HEAD)
    ui.dark_mode(view.dark)
    ui.colors(**COLOURS[view.dark])
    # Quasar opens it where there is room, and toggles it without asking the server.
    drawer = ui.left_drawer(value=False, fixed=True).classes('side')
    drawer.props('width=200 breakpoint=900 show-if-above')
    with drawer:
        with ui.element('nav').props('aria-label="Pages"'):
            for other in PAGES:
                link = ui.element('a').props(f'href={other.path}')
                if other is page:
                    link.props('aria-current=page')
                with link:
                    ui.icon(other.icon).props('aria-hidden=true')
                    ui.label(other.title)
    with ui.header(fixed=True, elevated=False).classes('top'):
        button('menu', 'Show or hide the pages', lambda: drawer.run_method('toggle'))
        with (
            ui.element('a')
            .classes('brand')
            .props('href=/ aria-label="V-JEPA 2 console, first page"')
        ):
            ui.element('img').props('src=/static/icon.svg alt=""')
            with ui.element('span'):
                ui.label('V-JEPA 2 console')
        with div('chip grow').props('role=status'):
            dot = div('dot')
            text = ui.element('span')
            with text:
                state = ui.label()
        other_theme = 'light' if view.dark else 'dark'
        button(
            'light_mode' if view.dark else 'dark_mode',
            f'Change to the {other_theme} theme',
            lambda: ui.run_javascript(f'vjepa2.setTheme("{other_theme}"); location.reload()'),
        )
        stop = ui.button('STOP', color=None).classes('stop')
        stop.props('unelevated aria-label="STOP: the arm holds" aria-keyshortcuts=Escape')
        stop.tooltip('The arm holds (Esc). Not a certified emergency stop.')
    with div('page'):
        heading(page.title, 1)
        with ui.element('p').classes('lead'):
            ui.label(page.lead)
        yield
    watch = _Watch(view, dot, state, stop)
    watch()
    ui.timer(1.0, watch)


class _Watch:
    """Shows the planner's state and what is new; called once a second."""

    def __init__(self, view: View, dot: Any, state: Any, stop: Any):
        self._console, self._dot, self._state, self._stop = view.console, dot, state, stop
        self._seen = view.console.news.count

    def __call__(self) -> None:
        colour, text = planner_state(self._console)
        self._dot.classes(replace=f'dot {colour}')
        self._state.set_text(text)
        self._stop.set_enabled(self._console.runs.is_there)
        for level, news in self._console.news.after(self._seen):
            ui.notify(news, type=level, position='bottom-right', timeout=6000, close_button=True)
        self._seen = self._console.news.count


def planner_state(console: Console) -> tuple[str, str]:
    """Return colour and text of the planner's state."""
    status = told_by(console.link, PLANNER)
    if status is None:
        return 'bad', 'no planner is heard: start planner_node'
    colour = {'ok': 'good', 'warn': 'warn'}.get(status.level, 'bad')
    model = status.values.get('model', 'none')
    ready = f'ready, model {model}' if status.level == 'ok' else status.message
    return colour, f'planner {ready}'


def div(classes: str = '') -> ui.element:
    """Add a div."""
    return ui.element('div').classes(classes)


def scrolled(label: str) -> ui.element:
    """Add a div for a wide table; the keyboard scrolls it, so that it has a label."""
    return div('scroll').props(f'tabindex=0 role=region aria-label="{label}"')


def heading(text: str, level: int = 2) -> None:
    """Add a heading."""
    with ui.element(f'h{level}'):
        ui.label(text).style('display: inline')


def button(icon: str, label: str, on_click: Callable[[], Any]) -> ui.button:
    """Add a button that is an icon; the label is for a tooltip and screen readers."""
    added = ui.button(icon=icon, on_click=on_click).props(f'flat round dense aria-label="{label}"')
    return added.tooltip(label)
