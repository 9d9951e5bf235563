# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a closed loop: what was seen, and how the energy fell."""

from matplotlib.figure import Figure
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


def energy_plot(steps):
    """
    Return a Figure of the energies of a run's ReachSteps.

    Left to right the steps: the energy of each frame (orange), and from it to the one that the
    plan predicted after the step (blue).
    """
    figure = Figure(figsize=(9.0, 4.8), layout='constrained')
    axes = figure.subplots()
    axes.plot([step.energy for step in steps], 'o-', color=ORANGE, label='frame')
    for number, step in enumerate(steps):
        axes.plot(
            [number, number + 1],
            [step.energy, step.predicted_energy],
            '.--',
            color=BLUE,
            label='predicted' if number == 0 else None,
            zorder=1,
        )
    axes.set(
        xlabel='step',
        ylabel='energy (mean absolute latent difference, lower is better)',
        xticks=range(len(steps)),
        xticklabels=range(1, len(steps) + 1),
    )
    axes.grid(axis='y', alpha=0.3)
    axes.legend()
    return figure
