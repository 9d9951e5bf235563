# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energy landscapes of the toy world model, whose energies have a closed form."""

import json

import numpy as np
import pytest
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_planner_ros.planning.config import CemConfig
from vjepa2_planner_ros.planning.landscape import Grid, Landscape, make_grid
from vjepa2_planner_ros.planning.landscape_plot import draw, draw_figure
from vjepa2_planner_ros.planning.search import energies_in_batches, plan

START = np.array([0.40, 0.10, 0.30, 0.0, 0.0, 0.0, 0.25])
MOTION = np.array([0.03, -0.02, 0.04, 0.0, 0.0, 0.0, 0.3])  # to the goal, as an action
BOUNDS = ToyWorldModel.action_bounds
NOTHING = np.zeros(7)


def latents(state):
    """Return the toy's latents [1, 7] of a state, beyond what its pictures can hold."""
    return torch.tensor(state, dtype=torch.float32)[None]


def evaluate(commands, batch=64, model=None):
    """Return the energies of commands from START toward START + MOTION."""
    return np.concatenate(
        list(
            energies_in_batches(
                model or ToyWorldModel(),
                latents(START)[None],
                START[None],
                latents(START + MOTION),
                commands,
                batch,
                'l1',
            )
        )
    )


def landscape(*axes, resolution=(), command=None, lowest=(), highest=(), offset=NOTHING):
    """Return the Landscape over axes."""
    grid = make_grid(axes, lowest, highest, resolution, offset, BOUNDS)
    energies = evaluate(np.concatenate([grid.commands(), NOTHING[None]]))
    return Landscape(grid, energies[:-1].reshape(grid.shape), float(energies[-1]), command)


def test_energies_are_those_of_the_closed_form():
    found = landscape('x', 'gripper', resolution=(5, 4))
    x, gripper = found.grid.values
    assert np.allclose(x, [-0.05, -0.025, 0.0, 0.025, 0.05])
    assert np.allclose(gripper, [-0.75, -0.25, 0.25, 0.75])
    closedness = np.clip(START[6] - gripper, 0.0, 1.0)  # a command closes below 0
    # The rest that stays: y and z.
    expected = (abs(x[:, None] - 0.03) + 0.02 + 0.04 + abs(closedness - 0.55)) / 7.0
    assert found.energies.dtype == np.float32 and found.energies.shape == (5, 4)
    assert np.allclose(found.energies, expected, atol=1e-6)
    assert np.isclose(found.start_energy, (0.03 + 0.02 + 0.04 + 0.3) / 7.0, atol=1e-6)
    assert found.lowest == (3, 1)
    assert np.allclose(found.minimum_command, [0.025, 0, 0, 0, 0, 0, -0.25])
    assert np.isclose(found.minimum, (0.005 + 0.06 + 0.05) / 7.0, atol=1e-6)


@pytest.mark.parametrize('batch', (1, 7, 1000))
def test_the_size_of_a_batch_changes_nothing(batch):
    commands = make_grid(('x', 'y', 'z'), (), (), (), NOTHING, BOUNDS).commands()
    assert np.array_equal(evaluate(commands, batch), evaluate(commands))


def test_candidates_of_a_plan_have_the_same_energies_here():
    iterations = []
    plan(
        ToyWorldModel(),
        latents(START)[None],
        START[None],
        latents(START + MOTION),
        CemConfig(samples=50, iterations=2, seed=3),
        on_iteration=iterations.append,
    )
    for iteration in iterations:
        commands = iteration.actions[:, 0] * [1, 1, 1, 1, 1, 1, -1]
        assert np.allclose(evaluate(commands), iteration.energies, atol=1e-7)


def test_what_is_not_a_finite_number_is_nan_and_never_the_minimum():
    class Holes(ToyWorldModel):
        """Some latents are not finite."""

        def rollout(self, context, states, actions):
            ends = super().rollout(context, states, actions)
            ends[actions[:, 0, 0] > 0.0] = torch.inf
            return ends

    grid = make_grid(('x', 'y'), (), (), (3, 2), NOTHING, BOUNDS)
    energies = evaluate(grid.commands(), model=Holes()).reshape(grid.shape)
    found = Landscape(grid, energies, 1.0)
    assert np.isnan(energies).tolist() == [[False] * 2, [False] * 2, [True] * 2]
    assert found.minimum_command[0] == 0.0
    assert found.as_dict()['energies'][2] == [None, None]


def test_default_is_x_and_y_over_the_bounds_of_the_model():
    grid = make_grid((), (), (), (), NOTHING, BOUNDS)
    assert grid.axes == ('x', 'y') and grid.shape == (21, 21)
    assert grid.commands().shape == (441, 7)
    assert grid.commands()[0].tolist() == [-0.05, -0.05, 0, 0, 0, 0, 0]
    assert np.allclose(grid.commands()[1], [-0.05, -0.045, 0, 0, 0, 0, 0])
    assert make_grid(('x', 'y', 'yaw'), (), (), (), NOTHING, BOUNDS).shape == (11, 11, 11)


def test_ranges_and_the_step_on_the_other_axes_are_those_asked_for():
    offset = [0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.5]
    grid = make_grid(('z', 'x'), (0.0, -0.02), (0.05, 0.0), (2, 3), offset, BOUNDS)
    assert np.allclose(
        grid.commands(),
        [[x, 0.01, z, 0, 0, 0, 0.5] for z in (0.0, 0.05) for x in (-0.02, -0.01, 0.0)],
    )


@pytest.mark.parametrize(
    'field, text',
    (
        ({'axes': ('x',)}, "axes = ['x']"),
        ({'axes': ('x', 'x')}, "axes = ['x', 'x']"),
        ({'axes': ('x', 'w')}, "axes = ['x', 'w']"),
        ({'axes': ('x', 'y', 'z', 'yaw')}, 'axes = '),
        (
            {'axes': ('x', 'yaw'), 'bounds': (0.1,) * 3 + (0.0,) * 4},
            'axes = yaw: allowed: what the model moves: x, y, z',
        ),
        ({'lowest': (-0.1, 0.0)}, 'lowest of x = -0.1: allowed: -0.05 to 0.05'),
        ({'highest': (0.1,)}, 'highest = [0.1]: allowed: 2 numbers'),
        ({'highest': (0.01, float('nan'))}, 'highest of y = nan'),
        (
            {'lowest': (0.01, 0.0), 'highest': (0.02, 0.0)},
            'highest of y = 0.0: allowed: more than',
        ),
        ({'resolution': (21,)}, 'resolution = [21]'),
        ({'resolution': (1, 21)}, 'resolution = [1, 21]'),
        ({'resolution': (100000, 100000)}, 'resolution = [100000, 100000]'),
        ({'offset': (0.01, 0, 0, 0, 0, 0, 0)}, 'offset of x = 0.01'),
        ({'offset': (0, 0, 0.06, 0, 0, 0, 0)}, 'offset of z = 0.06: allowed: -0.05 to 0.05'),
        ({'offset': (0, 0, 0, 0, 0, 0, float('nan'))}, 'offset of gripper = nan'),
    ),
)
def test_what_cannot_be_is_refused_by_name(field, text):
    arguments = {
        'axes': (),
        'lowest': (),
        'highest': (),
        'resolution': (),
        'offset': NOTHING,
        'bounds': BOUNDS,
        **field,
    }
    with pytest.raises(ValueError) as error:
        make_grid(**arguments)
    assert text in str(error.value)


def test_over_translations_alone_the_other_axes_are_at_their_best():
    found = landscape('x', 'gripper', 'z', resolution=(5, 4, 3))
    reduced = found.translations()
    assert reduced.grid.axes == ('x', 'z')
    assert np.array_equal(reduced.energies, found.energies.min(axis=1))
    assert landscape('roll', 'gripper').translations() is None


def test_slices_go_through_the_minimum():
    found = landscape('x', 'y', 'z', resolution=(5, 4, 3))
    x, y, z = found.lowest
    slices = list(found.slices())
    assert [pair[:2] for pair in slices] == [(0, 1), (0, 2), (1, 2)]
    for (_, _, energies), expected in zip(
        slices, (found.energies[:, :, z], found.energies[:, y], found.energies[x])
    ):
        assert np.array_equal(energies, expected)


def test_files_hold_what_was_found(tmp_path):
    found = landscape('x', 'gripper', resolution=(3, 2), command=MOTION)
    found.save(tmp_path / 'found.json')
    said = json.loads((tmp_path / 'found.json').read_text())
    assert np.array_equal(np.float32(said['energies']), found.energies)
    assert [axis['name'] for axis in said['axes']] == ['x', 'gripper']
    assert said['axes'][0]['values'] == [-0.05, 0.0, 0.05] and said['axes'][0]['unit'] == 'm'
    assert said['command'] == MOTION.tolist() and said['command_energy'] is None
    found.save(tmp_path / 'found.npz')
    with np.load(tmp_path / 'found.npz') as kept:
        assert np.array_equal(kept['energies'], found.energies)
        assert np.array_equal(kept['gripper'], found.grid.values[1])
        assert kept['axes'].tolist() == ['x', 'gripper']


def centre_of(picture, colour):
    """Return where, as shares from the lower left, a picture above its legend has a colour."""
    picture = picture[: int(0.85 * len(picture))]
    rows, columns = np.nonzero((abs(picture.astype(int) - colour) < 12).all(axis=-1))
    assert len(rows) > 20
    return columns.mean() / picture.shape[1], 1.0 - rows.mean() / picture.shape[0]


def test_the_picture_marks_the_minimum_and_the_command_where_they_are():
    grid = Grid(('x', 'y'), (np.linspace(-0.05, 0.05, 21),) * 2, NOTHING)
    red, orange = (255, 0, 0), (255, 165, 0)

    def picture(x, y, command):
        energies = abs(grid.values[0][:, None] - x) + abs(grid.values[1] - y)
        return draw(Landscape(grid, energies.astype(np.float32), 1.0, np.array(command), 0.5))

    left = picture(-0.04, 0.03, [0.03, -0.03, 0, 0, 0, 0, 0])
    right = picture(0.04, -0.02, [-0.03, 0.04, 0, 0, 0, 0, 0])
    assert left.dtype == np.uint8 and left.shape == right.shape and left.shape[2] == 3
    (x, y), (to_x, to_y) = centre_of(left, red), centre_of(right, red)
    assert x + 0.3 < to_x and y > to_y + 0.15
    (x, y), (to_x, to_y) = centre_of(left, orange), centre_of(right, orange)
    assert x > to_x + 0.2 and y + 0.2 < to_y


def test_three_axes_are_three_heat_maps():
    assert draw(landscape('x', 'y', 'z', resolution=(4, 4, 4))).shape[1] == pytest.approx(
        3 * draw(landscape('x', 'y', resolution=(4, 4))).shape[1], abs=2
    )


def legend_of(figure):
    """Return the words of a figure's legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks_of(panel):
    """Return where a panel's marks are, by the first word of their label."""
    return {
        line.get_label().split(' ')[0].rstrip(':'): np.array(line.get_xydata()[0])
        for line in panel.get_lines()
    }


def test_axes_contours_and_colours_are_labelled():
    figure = draw_figure(landscape('x', 'gripper', resolution=(5, 4)))
    panel, bar = figure.axes
    assert panel.get_xlabel() == 'x [m]' and panel.get_ylabel() == 'gripper (-1 close .. +1 open)'
    assert bar.get_ylabel() == 'energy (lower is nearer to the goal)'
    cells, contours = panel.collections
    assert cells.get_array().shape == (4, 5)
    assert sum(len(path.vertices) > 1 for path in contours.get_paths()) >= 5
    values = [float(text.get_text()) for text in contours.labelTexts]
    assert values and min(values) >= bar.get_ylim()[0] and max(values) <= bar.get_ylim()[1]
    turned = draw_figure(landscape('yaw', 'z', resolution=(3, 3))).axes[0]
    assert (turned.get_xlabel(), turned.get_ylabel()) == ('yaw [rad]', 'z [m]')


def test_the_title_names_the_step_on_the_other_axes_and_fits():
    def title(*axes, **options):
        return draw_figure(landscape(*axes, resolution=(3,) * len(axes), **options)).get_suptitle()

    assert title('x', 'y') == 'Energy of one step'
    offset = np.array([0, 0, 0.0312, 0.0123, 0, -0.1, 0.5])
    words = title('x', 'y', offset=offset)
    assert words.replace('\n', ' ') == (
        'Energy of one step with z +0.0312 m, roll +0.0123 rad, yaw -0.1 rad, gripper +0.5'
    )
    assert max(map(len, words.splitlines())) <= 62
    assert title('x', 'y', 'z', offset=[0, 0, 0, 0, 0, 0, 0.5]) == (
        'Energy of one step with gripper +0.5, through the minimum at x +0.05 m, y +0 m, z +0.05 m'
    )


def test_the_map_ends_where_the_steps_do():
    panel = draw_figure(
        landscape('x', 'gripper', resolution=(3, 2), command=np.array([0.2, 0, 0, 0, 0, 0, 0.0]))
    ).axes[0]
    assert np.allclose([*panel.get_xlim(), *panel.get_ylim()], [-0.05, 0.05, -0.75, 0.75])


def test_a_command_that_is_not_in_the_map_is_said_to_be_projected_or_outside():
    def drawn(command, **options):
        figure = draw_figure(
            landscape('x', 'y', resolution=(3, 3), command=np.array(command), **options)
        )
        return legend_of(figure), marks_of(figure.axes[0])

    command = [0.02, -0.01, 0.03, 0, 0, 0, -0.5]
    legend, marks = drawn(command, offset=[0, 0, *command[2:]])
    assert legend[2] == 'command: nan' and np.allclose(marks['command'], [0.02, -0.01])
    assert legend[0].endswith('(projected)') and np.allclose(marks['doing'], 0.0)
    legend, marks = drawn(command)
    assert legend[2] == 'command: nan (projected)' and not legend[0].endswith('(projected)')
    assert np.allclose(marks['command'], [0.02, -0.01])
    legend, marks = drawn(command, lowest=(0.025, -0.05), highest=(0.05, 0.05))
    assert legend[2] == 'command: nan (outside)' and legend[0].endswith('(outside)')
    assert np.isnan(marks['command']).all() and np.isnan(marks['doing']).all()


def test_the_longest_legend_fits():
    figure = draw_figure(
        Landscape(
            make_grid((), (0.01, 0.01), (), (3, 3), NOTHING, BOUNDS),
            np.eye(3, dtype=np.float32),
            0.1234,
            np.array([0, 0, 0.03, 0, 0, 0, 0]),
            0.1234,
        )
    )
    figure.canvas.draw()
    assert legend_of(figure)[2] == 'command: 0.1234 (outside)'
    legend, words = figure.legends[0], legend_of(figure)
    for text, word in zip(legend.get_texts(), words):
        text.set_text(word.replace('outside', 'projected'))  # the longest
    figure.canvas.draw()
    assert 0.0 <= legend.get_window_extent().x0 < legend.get_window_extent().x1 <= figure.bbox.x1


def test_in_slices_a_command_beside_one_is_projected():
    def legend(command):
        return legend_of(
            draw_figure(landscape('x', 'y', 'z', resolution=(5, 5, 5), command=np.array(command)))
        )[2]

    assert legend([0.025, -0.025, 0.04, 0, 0, 0, 0]) == 'command: nan'  # the minimum's cell
    assert legend([0.025, 0.0, 0.04, 0, 0, 0, 0]) == 'command: nan (projected)'


@pytest.mark.parametrize('value', (0.0, 1.0))
def test_doing_nothing_is_seen_on_any_colour_and_below_a_command(value):
    energies = np.full((3, 3), 0.5, np.float32)
    energies[0, 0], energies[2, 2] = 0.0, 1.0
    energies[1, 1] = value  # the darkest or the brightest
    grid = make_grid((), (), (), (3, 3), NOTHING, BOUNDS)
    picture = draw(Landscape(grid, energies, 0.5, NOTHING, 0.5)).astype(int)
    without = draw(Landscape(grid, energies, 0.5)).astype(int)
    rows, columns = np.nonzero((picture != without).any(axis=-1)[: int(0.85 * len(picture))])
    row, column = round(rows.mean()), round(columns.mean())
    around = picture[row - 16 : row + 17, column - 16 : column + 17].sum(axis=-1)
    covered = np.hypot(*np.mgrid[-16:17, -16:17]) < 9
    assert (around[~covered] > 700).sum() > 40 and (around[~covered] < 80).sum() > 40
