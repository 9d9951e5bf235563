# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a closed loop: what was seen, and how the energy fell."""

from PIL import Image, ImageDraw, ImageFont

CAPTION = 24  # pixels
SIZE = (900, 480)
AREA = (90, 40, 870, 410)  # left, top, right, bottom of the plot
BLACK, GREY, BLUE, ORANGE = (20, 20, 20), (215, 215, 215), (30, 95, 180), (215, 110, 20)


def side_by_side(pictures):
    """Return one picture of (caption, uint8 [H, W, 3]) pairs beside each other."""
    height = max(picture.shape[0] for _, picture in pictures) + CAPTION
    width = sum(picture.shape[1] for _, picture in pictures)
    sheet = Image.new('RGB', (width, height), 'white')
    draw, left = ImageDraw.Draw(sheet), 0
    for caption, picture in pictures:
        sheet.paste(Image.fromarray(picture), (left, CAPTION))
        draw.text((left + 6, 5), caption, fill=BLACK, font=_font())
        left += picture.shape[1]
    return sheet


def energy_plot(plans):
    """
    Return a plot of a closed loop's energies.

    Left to right the steps: per step the energy of the frame (orange) and below it, iteration by
    iteration, the best energy predicted (blue).
    """
    sheet = Image.new('RGB', SIZE, 'white')
    draw = ImageDraw.Draw(sheet)
    energies = [energy for plan in plans
                for energy in (plan.start_energy, *plan.iteration_energies)]
    low, high = min(energies), max(energies)
    margin = 0.05 * (high - low) or 0.05 * high or 1.0
    low, high = max(0.0, low - margin), high + margin
    left, top, right, bottom = AREA
    step_width = (right - left) / len(plans)

    def y_of(energy):
        return bottom - (energy - low) / (high - low) * (bottom - top)

    _grid(draw, low, high, y_of)
    before = None
    for index, plan in enumerate(plans):
        x = left + index * step_width
        draw.text((x + step_width / 2, bottom + 8), str(index + 1), fill=BLACK, font=_font(),
                  anchor='ma')
        here = (x + 0.1 * step_width, y_of(plan.start_energy))
        if before is not None:
            draw.line([before, here], fill=ORANGE, width=2)
        before = here
        spacing = 0.8 * step_width / len(plan.iteration_energies)
        points = [here] + [(here[0] + (number + 1) * spacing, y_of(energy))
                           for number, energy in enumerate(plan.iteration_energies)]
        draw.line(points, fill=BLUE, width=2)
        for point in points[1:]:
            _dot(draw, point, 3, BLUE)
        _dot(draw, here, 5, ORANGE)
    return sheet


def _grid(draw, low, high, y_of):
    left, top, right, bottom = AREA
    for tick in range(6):
        energy = low + tick / 5 * (high - low)
        draw.line([(left, y_of(energy)), (right, y_of(energy))], fill=GREY)
        draw.text((left - 8, y_of(energy)), f'{energy:.4f}', fill=BLACK, font=_font(),
                  anchor='rm')
    draw.line([(left, top), (left, bottom), (right, bottom)], fill=BLACK)
    draw.text((left, top - 28), 'energy (mean absolute latent difference, lower is better)',
              fill=BLACK, font=_font())
    draw.text(((left + right) / 2, bottom + 30), 'step', fill=BLACK, font=_font(), anchor='ma')
    _dot(draw, (left + 460, top - 20), 5, ORANGE)
    draw.text((left + 472, top - 28), 'frame', fill=BLACK, font=_font())
    _dot(draw, (left + 540, top - 20), 3, BLUE)
    draw.text((left + 552, top - 28), 'best, by iteration', fill=BLACK, font=_font())


def _dot(draw, centre, radius, colour):
    x, y = centre
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _font():
    return ImageFont.load_default(size=14)
