# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a closed loop: what was seen, and how the energy fell."""

from matplotlib.figure import Figure
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CAPTION = 24  # pixels
BLUE, ORANGE = '#1e5fb4', '#d76e14'


def side_by_side(pictures):
    """Return one picture of (caption, uint8 [H, W, 3]) pairs beside each other."""
    height = max(picture.shape[0] for _, picture in pictures) + CAPTION
    width = sum(picture.shape[1] for _, picture in pictures)
    sheet = Image.new('RGB', (width, height), 'white')
    draw, left = ImageDraw.Draw(sheet), 0
    for caption, picture in pictures:
        sheet.paste(Image.fromarray(picture), (left, CAPTION))
        draw.text((left + 6, 5), caption, fill='black', font=ImageFont.load_default(size=14))
        left += picture.shape[1]
    return sheet


def energy_plot(plans):
    """
    Return a Figure of a closed loop's energies.

    Left to right the steps: per step the energy of the frame (orange) and below it, iteration by
    iteration, the best energy predicted (blue).
    """
    figure = Figure(figsize=(9.0, 4.8), layout='constrained')
    axes = figure.subplots()
    axes.plot([plan.start_energy for plan in plans], 'o-', color=ORANGE, label='frame')
    for step, plan in enumerate(plans):
        energies = [plan.start_energy, *plan.iteration_energies]
        axes.plot(
            step + np.linspace(0.0, 0.8, len(energies)),
            energies,
            '.-',
            color=BLUE,
            label='best, by iteration' if step == 0 else None,
            zorder=1,
        )
    axes.set(
        xlabel='step',
        ylabel='energy (mean absolute latent difference, lower is better)',
        xticks=range(len(plans)),
        xticklabels=range(1, len(plans) + 1),
    )
    axes.grid(axis='y', alpha=0.3)
    axes.legend()
    return figure
