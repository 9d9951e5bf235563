# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parts that several pages are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nicegui import ui

from .console import Console
from .frames import frame_rgb
from .layout import div, heading, View
from .pictures import Picture
from ..messages.commands import UNITS

DIMMED = 'rgba(10, 15, 20, 0.55)'


class PictureInput:
    """
    A picture to drop, paste, choose or take from the camera; value is the Picture or None.

    The square that the model looks at is drawn over it.
    """

    def __init__(
        self, view: View, label: str, hint: str, on_change: Callable[[], Any] | None = None
    ):
        self._view, self._label, self._on_change = view, label, on_change
        self.value: Picture | None = None
        self.shown: Picture | None = None
        with (
            ui.element('section').classes('stack').style('gap: 8px').props(f'aria-label="{label}"')
        ):
            heading(label)
            self._drop = div('drop')
            self._drop.on('picture', self._on_picture, args=['detail'])
            with self._drop:
                self._hint = ui.label(hint).classes('hint')
                self._image = ui.element('img').props(f'alt="{label}"')
                self._overlay = ui.html('', sanitize=False).classes('overlay')
                accept = 'accept=image/png,image/jpeg,image/webp'
                self._input = ui.element('input').props(
                    f'type=file {accept} tabindex=-1 aria-label="{label}: file"'
                )
            with div('line').style('gap: 0; flex-wrap: nowrap'):
                small_button('Choose', 'upload_file', label, self._choose)
                small_button('Camera', 'photo_camera', label, self.grab)
                clear = f'{label}: Clear'
                self._clear = small_button('', 'close', clear, lambda: self.set(None))
            self._size = ui.label().classes('muted small').style('min-height: 1.5em')
        self.set(None)

    def set(self, picture: Picture | None, live: bool = False) -> None:
        """
        Show a picture, None = none.

        :param live: it is only shown; the value is None, as the planner takes its own frame.
        """
        self.shown, self.value = picture, None if live else picture
        self._hint.set_visibility(picture is None)
        self._image.set_visibility(picture is not None)
        self._clear.set_enabled(picture is not None)
        self._drop.classes(add='filled' if picture else '', remove='' if picture else 'filled')
        size = f'{picture.width} x {picture.height} px' if picture else ''
        self._size.set_text(f'{size}, live' if live else size)
        if picture is not None:
            self._image.props(f'src=/api/pictures/{picture.id}')
        self.draw()
        if self._on_change is not None:
            self._on_change()

    def draw(self, marks: str = '') -> None:
        """
        Draw the model's square over the picture, and marks.

        :param marks: SVG in pixels of the picture, made of numbers alone.
        """
        self._overlay.set_content(_overlay(self.shown, marks) if self.shown else '')

    async def grab(self) -> None:
        """Take the camera's newest frame."""
        try:
            rgb = await frame_rgb(self._view.console.link)
            self.set(await self._view.console.pictures.add_frame(rgb))
        except (OSError, ValueError) as error:
            ui.notify(f'{self._label}: {error}', type='negative', position='bottom-right')

    def _choose(self) -> None:
        ui.run_javascript(f'getHtmlElement({self._input.id}).click()')

    def _on_picture(self, event: Any) -> None:
        detail = event.args['detail']
        picture = self._view.console.pictures.get(str(detail.get('id', '')))
        if picture is None:
            text = detail.get('text', 'the picture is not there any more')
            ui.notify(f'{self._label}: {text}', type='negative', position='bottom-right')
        else:
            self.set(picture)


def failed(error: object) -> None:
    """Notify the browser of what went wrong."""
    ui.notify(
        str(error), type='negative', position='bottom-right', close_button=True, timeout=8000
    )


def header_row(names: Iterable[str]) -> None:
    """Add the head of a table; '' names a column of buttons."""
    with ui.element('thead'), ui.element('tr'):
        for name in names:
            with ui.element('th').props('scope=col'):
                ui.label(name or 'Actions').classes('' if name else 'visually-hidden')


def small_button(text: str, icon: str, what: str, on_click: Callable[[], Any]) -> ui.button:
    """Add a small flat button; what says to screen readers what it is for."""
    label = f'{what}: {text}' if text else what  # not the icon's name
    return ui.button(text, icon=icon, on_click=on_click).props(
        f'flat dense no-wrap size=sm padding="4px 8px" aria-label="{label}"'
    )


def _overlay(picture: Picture, marks: str) -> str:
    width, height = picture.width, picture.height
    side = min(width, height)
    x, y = (width - side) / 2, (height - side) / 2
    outside = f'M0 0H{width}V{height}H0Z M{x} {y}V{y + side}H{x + side}V{y}Z'
    return (
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path d="{outside}" fill="{DIMMED}" fill-rule="evenodd"/>'
        f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="none" stroke="#fff" '
        f'stroke-opacity="0.7" stroke-width="1.5" stroke-dasharray="6 4" '
        f'vector-effect="non-scaling-stroke"/>{marks}</svg>'
    )


class LiveCamera:
    """What the planner's camera sees, twice a second, while the page is open."""

    def __init__(self, console: Console):
        self._console = console
        self._shown = 0.0
        with div('drop filled'):
            self._hint = ui.label('no frame of a camera').classes('hint')
            self._image = ui.element('img').props('alt="What the camera sees"')
        self._image.set_visibility(False)
        ui.timer(0.5, self._refresh)

    def _refresh(self) -> None:
        try:
            newest = self._console.link.camera.look()
        except ValueError:
            newest = None
        self._image.set_visibility(newest is not None)
        self._hint.set_visibility(newest is None)
        if newest is not None and newest[0] != self._shown:
            self._shown = newest[0]
            self._image.props(f'src=/api/camera?at={newest[0]:.3f}')


class Facts:
    """Figures with their names, in boxes that keep their size."""

    def __init__(self, names: Iterable[str]):
        self._values: dict[str, Any] = {}
        with ui.element('dl').classes('facts'):
            for name in names:
                with div():
                    with ui.element('dt'):
                        ui.label(name)
                    with ui.element('dd'):
                        self._values[name] = ui.label('-')

    def show(self, values: Mapping[str, str]) -> None:
        """Show values by name."""
        for name, value in values.items():
            self._values[name].set_text(value)


class CommandTable:
    """The axes of a command with units; a model of 3 degrees of freedom has three."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Any, Any]] = {}
        with ui.element('table').classes('plain'):
            with ui.element('caption').classes('visually-hidden'):
                ui.label('Command')
            with ui.element('tbody'):
                for axis, unit in UNITS.items():
                    with ui.element('tr') as row:
                        with ui.element('th').props('scope=row'):
                            ui.label(axis)
                        with ui.element('td').classes('number'):
                            value = ui.label('-')
                        with ui.element('td').classes('muted small'):
                            ui.label(unit)
                    self._rows[axis] = row, value

    def show(self, command: Iterable[float] | None, axes: int = 7) -> None:
        """Show a command [7], None = none; axes = 3 leaves the rest out."""
        values = list(command) if command is not None else [None] * 7
        for index, ((row, label), value) in enumerate(zip(self._rows.values(), values)):
            label.set_text('-' if value is None else f'{value:+.4f}')
            row.set_visibility(index < axes)
