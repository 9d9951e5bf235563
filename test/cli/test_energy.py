# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands that encode pictures and tell how far they are from a goal."""

import csv
import io

import numpy as np
from PIL import Image as Picture
import pytest
from scipy.stats import spearmanr
from vjepa2_planner_ros.cli import encode as encode_command, energy as energy_command
from vjepa2_planner_ros.simulation import PandaSim, sample_episode
from vjepa2_planner_ros.world_model import load_world_model

MODEL = ('--device', 'cpu', '--dtype', 'float32')
STEPS = 11  # so that a file's tenth picture has one digit more
PERIOD = 0.5  # s between the frames of the bags


@pytest.fixture(scope='module')
def episode():
    """Return the pictures of an arm on its straight way to the goal, the last one there."""
    drawn = sample_episode(1_000_003)
    with PandaSim() as sim:
        sim.reset(drawn.seed)
        pictures = []
        for share in np.linspace(0.0, 1.0, STEPS):
            sim.set_state((1.0 - share) * drawn.start + share * drawn.goal)
            pictures.append(sim.render())
    return pictures


@pytest.fixture(scope='module')
def folder(episode, tmp_path_factory):
    """Return a folder of these pictures and, beside it, the goal; sizes and formats differ."""
    folder = tmp_path_factory.mktemp('episode')
    (folder / 'frames').mkdir()
    (folder / 'empty').mkdir()
    for number, picture in enumerate(episode, 1):
        Picture.fromarray(picture).save(folder / 'frames' / f'frame{number}.png')
    Picture.fromarray(episode[-1]).save(folder / 'goal.png')
    Picture.fromarray(episode[0][:, 32:-32]).save(folder / 'narrow.bmp')
    (folder / 'frames' / 'notes.txt').write_text('no picture')
    return folder


def raw(picture, padding=0):
    """Return the type and the bytes of an Image."""
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import Image

    rows = np.pad(picture.reshape(len(picture), -1), ((0, 0), (0, padding)))
    return 'sensor_msgs/msg/Image', serialize_message(
        Image(
            height=picture.shape[0],
            width=picture.shape[1],
            encoding='rgb8',
            step=rows.shape[1],
            data=rows.tobytes(),
        )
    )


def compressed(picture, kind='PNG'):
    """Return the type and the bytes of a CompressedImage."""
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import CompressedImage

    file = io.BytesIO()
    Picture.fromarray(picture).save(file, kind)
    return 'sensor_msgs/msg/CompressedImage', serialize_message(
        CompressedImage(format=kind.lower(), data=file.getvalue())
    )


def write_bag(path, topics, storage):
    """Write {topic: [(type, serialised message)]} as a bag, PERIOD between messages."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores

    types = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage]) as writer:
        for topic, messages in topics.items():
            connection = writer.add_connection(topic, messages[0][0], typestore=types)
            for index, (_, data) in enumerate(messages):
                writer.write(connection, 10**18 + round(index * PERIOD * 1e9), data)
    return path


def pair(capsys, *pictures):
    """Return the energy that the command prints."""
    assert energy_command.main([*map(str, pictures), *MODEL]) == 0
    return float(capsys.readouterr().out)


def over(source, goal, tmp_path, *options):
    """Return the head and the numbers [T, 2] that the command writes."""
    table = tmp_path / 'energies.csv'
    assert (
        energy_command.main(
            ['--over', str(source), str(goal), '--csv', str(table), *options, *MODEL]
        )
        == 0
    )
    head, *rows = csv.reader(table.open())
    return head, np.array(rows, float)


def test_energy_of_two_pictures_is_that_of_their_latents(folder, tmp_path, capsys):
    pictures = [folder / 'narrow.bmp', folder / 'goal.png', folder / 'frames' / 'frame4.png']
    assert encode_command.main([*map(str, pictures), '-o', str(tmp_path / 'latents'), *MODEL]) == 0
    capsys.readouterr()
    with np.load(tmp_path / 'latents') as file:
        latents = file['latents']
        assert file['files'].tolist() == [str(picture) for picture in pictures]
        assert (file['model'], file['dtype']) == ('sim-panda-ac', 'float32')
    assert latents.shape == (3, 64, 128) and latents.dtype == np.float32
    for i, j in ((0, 1), (1, 0), (2, 1)):
        expected = np.abs(latents[i].astype(float) - latents[j]).mean()
        assert pair(capsys, pictures[i], pictures[j]) == pytest.approx(expected, abs=2e-6)


def test_crop_and_cost_are_as_asked_for(folder, tmp_path, capsys):
    model = load_world_model('sim-panda-ac', device='cpu', dtype='float32')
    files = [folder / 'narrow.bmp', folder / 'goal.png']
    parts = []
    for file in files:
        picture = np.array(Picture.open(file).convert('RGB'))
        height, width = picture.shape[:2]
        parts.append(picture[: round(height / 2), round(width / 4) :])
    a, b = (model.encode(part[None], (0.0, 0.0, 1.0, 1.0))[0].double() for part in parts)
    options = ('--crop', '0.25 0 0.75 0.5')
    assert pair(capsys, *files, *options) == pytest.approx(float((a - b).abs().mean()), abs=2e-6)
    expected = float((a - b).square().mean() ** 0.5)
    assert pair(capsys, *files, *options, '--cost', 'l2') == pytest.approx(expected, abs=2e-6)
    _, numbers = over(folder / 'frames', folder / 'goal.png', tmp_path, '--cost', 'l2')
    _, plain = over(folder / 'frames', folder / 'goal.png', tmp_path)
    assert (numbers[:-1, 1] > plain[:-1, 1]).all()  # the root of a mean square is no less


def test_energy_is_0_for_the_same_picture_and_symmetric(folder, capsys):
    narrow, goal = folder / 'narrow.bmp', folder / 'goal.png'
    assert pair(capsys, narrow, narrow) == 0.0
    there, back = pair(capsys, narrow, goal), pair(capsys, goal, narrow)
    assert there == back > 0.1


@pytest.mark.slow
def test_energy_falls_while_the_arm_comes_nearer(folder, tmp_path, capsys):
    plot = tmp_path / 'plot.png'
    head, numbers = over(folder / 'frames', folder / 'goal.png', tmp_path, '--save', str(plot))
    assert head == ['picture', 'energy']
    assert numbers[:, 0].tolist() == list(range(1, STEPS + 1))  # frame10 after frame9
    assert spearmanr(*numbers.T).statistic < -0.95
    assert numbers[-1, 1] == pytest.approx(0.0, abs=1e-5)
    # The plot and the lines name the same.
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ['first', 'lowest', 'last']
    assert [float(line[1]) for line in lines] == pytest.approx(
        [numbers[0, 1], numbers[:, 1].min(), numbers[-1, 1]], abs=1e-6
    )
    assert np.asarray(Picture.open(plot).convert('RGB')).std() > 20.0


@pytest.mark.parametrize('storage', ('SQLITE3', 'MCAP'))
@pytest.mark.parametrize('message', (raw, compressed))
def test_a_bag_is_measured_as_its_pictures(episode, folder, tmp_path, capsys, storage, message):
    bag = write_bag(tmp_path / 'bag', {'/camera': [message(one) for one in episode]}, storage)
    head, numbers = over(bag, folder / 'goal.png', tmp_path)
    _, of_files = over(folder / 'frames', folder / 'goal.png', tmp_path)
    assert head == ['time [s]', 'energy']
    assert numbers[:, 0] == pytest.approx(np.arange(STEPS) * PERIOD)
    assert numbers[:, 1] == pytest.approx(of_files[:, 1], abs=1e-6)
    (file,) = [*bag.glob('*.mcap'), *bag.glob('*.db3')]
    _, every_third = over(file, folder / 'goal.png', tmp_path, '--every', '3')
    assert every_third == pytest.approx(numbers[::3], abs=1e-5)


def test_a_bag_that_was_not_closed_is_measured_up_to_its_end(episode, folder, tmp_path, caplog):
    bag = write_bag(tmp_path / 'bag', {'/camera': [raw(one) for one in episode]}, 'MCAP')
    (bag / 'metadata.yaml').unlink()
    (file,) = bag.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    _, numbers = over(bag, folder / 'goal.png', tmp_path)
    _, of_files = over(folder / 'frames', folder / 'goal.png', tmp_path)
    assert 0 < len(numbers) < STEPS
    assert numbers[:, 1] == pytest.approx(of_files[: len(numbers), 1], abs=1e-6)
    assert f'{file}: it was not closed' in caplog.text


def test_of_several_topics_one_is_asked_for(episode, folder, tmp_path, capsys):
    bag = write_bag(
        tmp_path / 'bag',
        {
            '/left': [raw(one, padding=5) for one in episode[:3]],
            '/right/compressed': [compressed(one) for one in episode[3:5]],
        },
        'MCAP',
    )
    goal = folder / 'goal.png'
    assert energy_command.main(['--over', str(bag), str(goal), *MODEL]) == 1
    errors = capsys.readouterr().err
    assert f'{bag}:TOPIC' in errors and '/left, /right/compressed' in errors
    assert energy_command.main(['--over', f'{bag}:/middle', str(goal), *MODEL]) == 1
    assert "'/middle'" in capsys.readouterr().err
    _, left = over(f'{bag}:/left', goal, tmp_path)
    _, right = over(f'{bag}:/right/compressed', goal, tmp_path)
    _, all_files = over(folder / 'frames', goal, tmp_path)
    assert [*left[:, 1], *right[:, 1]] == pytest.approx(all_files[:5, 1], abs=1e-5)


def test_a_damaged_frame_of_a_bag_is_named(episode, folder, tmp_path, capsys):
    messages = [compressed(episode[0]), compressed(episode[0], 'GIF')]
    bag = write_bag(tmp_path / 'bag', {'/camera': messages}, 'MCAP')
    assert energy_command.main(['--over', str(bag), str(folder / 'goal.png'), *MODEL]) == 1
    assert f'{bag}:/camera after 0.500 s: image.data starts with' in capsys.readouterr().err
    kind, data = raw(episode[0])
    bag = write_bag(tmp_path / 'cut', {'/camera': [(kind, data), (kind, data[:1000])]}, 'MCAP')
    assert energy_command.main(['--over', str(bag), str(folder / 'goal.png'), *MODEL]) == 1
    assert f'{bag}:/camera after 0.500 s: /camera: no {kind}' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments, text',
    [
        (['nowhere.png', 'goal.png'], 'nowhere.png'),
        (['frames/notes.txt', 'goal.png'], 'cannot identify'),
        (['--over', 'nowhere', 'goal.png'], 'nowhere: there is no such folder or bag'),
        (['--over', 'empty', 'goal.png'], 'empty: there is no picture in this folder'),
        (['--over', 'frames/notes.txt', 'goal.png'], "storage format '.txt'"),
        (['--over', 'frames', 'goal.png', '--every', '0'], 'every = 0: allowed: 1 or more'),
        (['goal.png', 'goal.png', '--model', 'vit-tiny'], "'vit-tiny'; allowed"),
        (['goal.png', 'goal.png', '--device', 'warp'], "device is 'warp'"),
        (['goal.png', 'goal.png', '--crop', 'square'], "crop = 'square': allowed: center_square"),
    ],
)
def test_what_cannot_be_had_is_named(folder, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(folder)
    assert energy_command.main(arguments) == 1
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments',
    (
        ['one.png'],
        ['one.png', 'two.png', 'three.png'],
        ['--over', 'frames', 'one.png', 'two.png'],
        ['one.png', 'two.png', '--csv', 'energies.csv'],
    ),
)
def test_a_wrong_number_of_pictures_is_explained(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        energy_command.main(arguments)
    assert end.value.code == 2 and 'energy: error:' in capsys.readouterr().err
