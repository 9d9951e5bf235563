# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoding, rollouts and dtypes of a whole world model."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from oracles import randomise, reference_encoder, reference_predictor
import pytest
from scipy.spatial.transform import Rotation
from tools.benchmark.peer import between, compose
import torch
from vjepa2_planner_ros.planning.config import CemConfig
from vjepa2_planner_ros.planning.search import plan
from vjepa2_planner_ros.world_model import build_networks, ModelSpec, VJepa2WorldModel
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize
from vjepa2_planner_ros.world_model.parallel import side_by_side

TINY = ModelSpec(
    name='tiny-ac',
    encoder=EncoderSize(48, 2, 2, 96),
    predictor=PredictorSize(64, 2, 2, 256),
    image_size=64,
    crop='center_square',
    action_bounds=(0.05,) * 3 + (0.15,) * 3 + (0.75,),
)


@pytest.fixture
def tiny():
    return VJepa2WorldModel(TINY, *(randomise(module) for module in build_networks(TINY)))


def random_scene(context_frames, seed=0):
    """Return frames [T + 1, 64, 80, 3], the goal last, and states [T, 7]."""
    rng = np.random.default_rng(seed)
    states = np.concatenate(
        [
            rng.uniform(-0.5, 0.5, (context_frames, 3)),
            rng.uniform(-1.0, 1.0, (context_frames, 3)),
            rng.uniform(0, 1, (context_frames, 1)),
        ],
        1,
    )
    return rng.integers(0, 256, (context_frames + 1, 64, 80, 3), dtype=np.uint8), states


def random_actions(samples, horizon, seed=1):
    rng = np.random.default_rng(seed)
    return torch.tensor(
        rng.uniform(-1, 1, (samples, horizon, 7)) * TINY.action_bounds, dtype=torch.float32
    )


@torch.inference_mode()
def plain_rollout(reference, context, states, candidate):
    """Recompute everything at every step with Meta's module and its mask, one candidate."""
    frames, states = list(context), list(states)
    actions = [between(a, b) for a, b in zip(states, states[1:])]
    for action in candidate.double().numpy():
        actions.append(action)
        predicted = reference(
            torch.cat(frames)[None],
            torch.tensor(np.array(actions)).float()[None],
            torch.tensor(np.array(states)).float()[None],
        )[:, -len(context[0]) :]
        frames.append(torch.nn.functional.layer_norm(predicted, predicted.shape[-1:])[0])
        states.append(compose(states[-1], action))
    return frames[-1]


@pytest.mark.parametrize('context_frames', [1, 2, 3])
@pytest.mark.parametrize('horizon', [1, 2, 4])
def test_rollout_equals_plain_recomputation(tiny, context_frames, horizon, monkeypatch):
    reference = reference_predictor(48, TINY.predictor)
    tiny.predictor.load_state_dict(reference.state_dict())
    frames, states = random_scene(context_frames)
    context = tiny.encode(frames[:-1])
    actions = random_actions(5, horizon)
    monkeypatch.setattr(tiny, 'batch_size', lambda frames, horizon: 2)
    found = tiny.rollout(context, states, actions)
    for candidate, latents in zip(actions, found):
        expected = plain_rollout(reference, context, states, candidate)
        torch.testing.assert_close(latents, expected, rtol=0, atol=1e-5)


def test_encode_is_one_frame_at_a_time(tiny):
    reference = reference_encoder(TINY.encoder)
    tiny.encoder.load_state_dict(reference.state_dict())
    frames, _ = random_scene(2)
    together = tiny.encode(frames)
    assert together.shape == (3, 16, 48)
    from vjepa2_planner_ros.world_model.preprocessing import preprocess

    for frame, latents in zip(frames, together):
        image = preprocess(frame[None], 64, 'center_square')
        with torch.inference_mode():
            expected = reference(image[:, :, None].expand(-1, -1, 2, -1, -1))[0]
        expected = (expected - expected.mean(-1, keepdim=True)) / (
            expected.var(-1, keepdim=True, correction=0) + 1e-5
        ).sqrt()
        torch.testing.assert_close(latents, expected, rtol=0, atol=1e-5)


def test_reference_rotation_is_the_only_change_of_states(tiny):
    frames, states = random_scene(2)
    context, actions = tiny.encode(frames[:-1]), random_actions(3, 2)
    turned = VJepa2WorldModel(
        ModelSpec(**{**vars(TINY), 'reference_rotation': (np.pi, 0.0, 0.0)}),
        tiny.encoder,
        tiny.predictor,
    )
    down = Rotation.from_euler('x', np.pi)
    public = states.copy()  # the same rotations as before once the tool's reference is removed
    public[:, 3:6] = (Rotation.from_euler('xyz', states[:, 3:6]) * down).as_euler('xyz')
    torch.testing.assert_close(
        turned.rollout(context, public, actions),
        tiny.rollout(context, states, actions),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('context_frames', [1, 2])
def test_whole_plan_in_half_precision(tiny, dtype, context_frames):
    frames, states = random_scene(context_frames)
    config = CemConfig(samples=16, iterations=2, horizon=2, seed=0)

    def whole_plan():
        latents = tiny.encode(frames)
        energies = []
        found = plan(
            tiny,
            latents[:-1],
            states,
            latents[-1],
            config,
            on_iteration=lambda i: energies.append(i.energies),
        )
        return found, energies[0]

    full, full_energies = whole_plan()
    tiny.encoder.to(dtype), tiny.predictor.to(dtype)
    half, half_energies = whole_plan()
    np.testing.assert_allclose(half_energies, full_energies, rtol=0.02)
    assert half.start_energy == pytest.approx(full.start_energy, rel=0.02)
    assert np.isfinite(half.actions).all()


@pytest.mark.parametrize(
    'bad',
    [{'states': np.zeros((2, 7))}, {'states': np.zeros((1, 6))}, {'actions': torch.zeros(3, 7)}],
)
def test_wrong_shapes_are_named(tiny, bad):
    frames, states = random_scene(1)
    arguments = {
        'context': tiny.encode(frames[:1]),
        'states': states,
        'actions': random_actions(2, 1),
        **bad,
    }
    with pytest.raises(ValueError, match=r'allowed: \[T, N, D\], \[T, 7\], \[S, H, 7\]'):
        tiny.rollout(**arguments)


@pytest.mark.slow
def test_memory_that_runs_out_is_survived_once_and_reported(tiny, monkeypatch, caplog):
    frames, states = random_scene(2)
    context, actions = tiny.encode(frames[:-1]), random_actions(8, 2)
    expected = tiny.rollout(context, states, actions)
    step, room = tiny.predictor.step, 4

    def in_a_small_room(latents, action, *arguments, **options):
        if len(action) > room:
            torch.empty(1 << 60)  # the real error of the allocator
        return step(latents, action, *arguments, **options)

    monkeypatch.setattr(tiny.predictor, 'step', in_a_small_room)
    for _ in range(2):  # the second time it knows
        torch.testing.assert_close(
            tiny.rollout(context, states, actions), expected, rtol=0, atol=1e-5
        )
        assert tiny.memory_shortages == 1
    assert caplog.text.count('with 8 candidates at once; going on with 4') == 1
    room = 1
    with pytest.raises(RuntimeError, match='allocate'):
        tiny.rollout(context, states, actions)
    with pytest.raises(ValueError):  # other errors are not tried again
        tiny.rollout(context, states[:1], actions)
    assert tiny.memory_shortages == 2


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('frames', [1, 3])
@pytest.mark.parametrize('horizon', [1, 2, 4])
def test_candidates_take_no_more_memory_than_expected(frames, horizon, dtype, monkeypatch):
    spec = replace(TINY, predictor=PredictorSize(64, 6, 2, 256))
    model = VJepa2WorldModel(spec, *(part.to(dtype) for part in build_networks(spec)))
    samples = 64
    monkeypatch.setattr(model, 'batch_size', lambda frames, horizon: samples)
    context, states = torch.randn(frames, 16, 48), random_scene(frames)[1]
    with torch.profiler.profile(profile_memory=True) as profile:
        model.rollout(context, states, random_actions(samples, horizon))
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == '[memory]':
            held += event.nbytes()
            most = max(most, held)
    expected = samples * model.candidate_bytes(frames, horizon)
    assert 0.25 * expected < most < expected


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize('batches', (1, 2, 6))
def test_batches_side_by_side_have_a_thread_each(batches, three_threads):
    def threads(batch):
        (batch @ batch).softmax(0)  # torch settles a thread's number when it first computes there
        return torch.tensor([torch.get_num_threads()])

    found = side_by_side(threads, torch.rand(batches, 300, 300).split(1), 3)
    assert found.tolist() == [1] * batches and torch.get_num_threads() == 3


def test_small_models_find_the_same_side_by_side_and_leave_torch_its_threads(tiny, three_threads):
    frames, states = random_scene(2)
    actions = random_actions(45, 2)
    context = tiny.encode(frames[:-1])
    found = tiny.rollout(context, states, actions)
    with pytest.raises(ValueError, match='allowed: uint8'):
        tiny.encode(frames[:-1].astype(np.float32))
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    torch.testing.assert_close(tiny.encode(frames[:-1]), context, rtol=0, atol=1e-5)
    torch.testing.assert_close(tiny.rollout(context, states, actions), found, rtol=0, atol=1e-5)
