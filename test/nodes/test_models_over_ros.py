# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models are loaded, unloaded and listed over ROS, and a plan goal names the one it wants."""

from concurrent.futures import TimeoutError  # noqa: A004
from contextlib import suppress
from dataclasses import replace
import functools
import threading
import time
import weakref

from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from file_server import serve
from meta_checkpoints import meta_content, random_content
import numpy as np
from planner_rig import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    eventually,
    GOAL,
    send_goal,
    START,
    to_goal,
    to_image,
    to_state_message,
    transition,
)
from planner_wire import wait
import psutil
import pytest
from rclpy.action import ActionClient
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_interfaces.action import ComputeEnergyLandscape, LoadModel, PlanAction
from vjepa2_interfaces.msg import ModelInfo
from vjepa2_interfaces.srv import ComputeEnergy, ListModels, UnloadModel
from vjepa2_planner_ros.client import GoalClient, PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.world_model import (
    build_networks,
    load_world_model,
    MODELS,
    ModelSpec,
    WeightsFile,
)
from vjepa2_planner_ros.world_model.devices import release_memory
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize

pytestmark = pytest.mark.slow  # processes, or whole models

FIRST = ModelSpec(
    name='first',
    encoder=EncoderSize(48, 2, 2, 96),
    predictor=PredictorSize(64, 2, 2, 256),
    image_size=64,
    crop='center_square',
    action_bounds=(0.05,) * 3 + (0.15,) * 3 + (0.75,),
)
SECOND = replace(FIRST, name='second', predictor=PredictorSize(96, 2, 2, 256))
BIG = replace(FIRST, name='big', encoder=EncoderSize(512, 16, 8, 2048))  # 200 MB in float32
VAST = replace(FIRST, name='vast', encoder=EncoderSize(2**17, 48, 1024, 2**19))


def at(spec, url):
    """Return a model whose weights are in a file like Meta's at an address."""
    file = WeightsFile(url, encoder=('encoder',), predictor=('predictor',))
    return replace(spec, files=(file,))


Feedback = LoadModel.Feedback
LOADING = PlanAction.Feedback.LOADING_MODEL


class SlowDisk:
    """Lets models of some names load no further than their beginning, until it is released."""

    def __init__(self):
        self.slow, self.reached, self._released = set(), threading.Event(), threading.Event()
        self.loaded = {}  # name: weak reference to the model

    def load(self, name, *, progress, check_stop, **options):
        def hold(*step):
            progress(*step)
            while name in self.slow and not self._released.is_set():
                check_stop()
                self.reached.set()
                time.sleep(0.002)

        model = load_world_model(name, progress=hold, check_stop=check_stop, **options)
        self.loaded[name] = weakref.ref(model)
        return model

    def gone(self, name):
        model = self.loaded[name]()  # others may still look at one whose weights are gone
        return model is None or model.encoder.norm.weight.is_meta

    def release(self):
        self._released.set()


class Operator:
    """A robot whose planner has real models, and a client of the services that manage them."""

    def __init__(self, robot, disk):
        self.robot, self.disk, self.values = robot, disk, {}
        self._action = ActionClient(robot.node, LoadModel, 'planner/load_model')
        self._list = robot.node.create_client(ListModels, 'planner/list_models')
        self._unload = robot.node.create_client(UnloadModel, 'planner/unload_model')
        robot.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 50)
        assert self._action.wait_for_server(60.0)
        assert self._list.wait_for_service(60.0) and self._unload.wait_for_service(60.0)

    def load(self, name='', feedback=None, **fields):
        """Send a LoadModel goal and see it accepted; return its handle."""
        handle = self._send(name, feedback, fields)
        assert handle.accepted
        return handle

    def is_refused(self):
        return not self._send('second', None, {}).accepted

    def _send(self, name, feedback, fields):
        goal = LoadModel.Goal(name=name, **{'dtype': 'float32', **fields})
        return send_goal(
            self.robot.node,
            self._action,
            goal,
            lambda message: None if feedback is None else feedback.append(message.feedback),
        )

    def outcome(self, handle):
        """Wait for the end of a LoadModel goal; return (status, Result)."""
        answer = wait(handle.get_result_async())
        return answer.status, answer.result

    def code_of_load(self, name, **fields):
        """Return (code, text) that a LoadModel goal ends with."""
        status, result = self.outcome(self.load(name, **fields))
        assert status == GoalStatus.STATUS_ABORTED and not result.name
        return result.error_code, result.error_msg

    def code_of_plan(self, name, **fields):
        """Return (code, text) that a plan goal ends with."""
        with pytest.raises(PlanFailed) as failed:
            self.plan(name, **fields)
        return failed.value.code, failed.value.message

    def plan(self, name='', **fields):
        """Plan with a model; return the PlanResult."""
        return self.plan_async(name, **fields).result(60.0)

    def plan_async(self, name='', **fields):
        return self.robot.client.plan_async(
            ToyWorldModel.picture(GOAL),
            model=name,
            **{
                'current_image': ToyWorldModel.picture(START),
                'start_state': to_state_message(START),
                'samples': 8,
                'iterations': 2,
                **fields,
            },
        )

    def models(self):
        """Return {name: ModelInfo}."""
        return {
            info.name: info for info in wait(self._list.call_async(ListModels.Request())).models
        }

    def unload(self):
        """Return the answer of ~/unload_model."""
        return wait(self._unload.call_async(UnloadModel.Request()))

    def _on_diagnostics(self, message):
        if message.status[0].name == f'{self.robot.planner.get_fully_qualified_name()}: planner':
            self.values = {item.key: item.value for item in message.status[0].values}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return a folder with the weights of FIRST and SECOND."""
    monkeypatch.setitem(MODELS, 'first', at(FIRST, 'http://host.invalid/first.pt'))
    monkeypatch.setitem(MODELS, 'second', at(SECOND, 'http://host.invalid/second.pt'))
    torch.manual_seed(0)
    for spec in (FIRST, SECOND):
        torch.save(random_content(spec), tmp_path / f'{spec.name}.pt')
    return tmp_path


@pytest.fixture
def operator(cache, make_robot):
    """Return an Operator whose planner has loaded FIRST."""
    disk = SlowDisk()
    robot = make_robot(
        disk.load,
        model='first',
        model_cache=str(cache),
        device='cpu',
        dtype='float32',
        cem__samples=8,
    ).ready()
    yield Operator(robot, disk)
    disk.release()


def hold(model, name):
    """Hold calls of a model's method; return the event that one has begun, and how to go on."""
    reached, released, method = threading.Event(), threading.Event(), getattr(model, name)

    def held(*args):
        reached.set()
        assert released.wait(60.0)
        return method(*args)

    setattr(model, name, held)
    return reached, released.set


def hold_plan(operator):
    """Hold the next plan of the loaded model in its search; return (its future, how to go on)."""
    reached, release = hold(operator.robot.planner._worker.model, 'rollout')
    future = operator.plan_async()
    assert reached.wait(60.0)
    return future, release


def size_of(path):
    """Return the bytes of what is used of a checkpoint in float32."""
    content = torch.load(path, weights_only=True)
    return sum(
        tensor.nbytes
        for part in ('encoder', 'predictor')
        for key, tensor in content[part].items()
        if 'pos_embed' not in key
    )


def test_load_switches_and_tells_how_it_goes(operator, cache):
    feedback = []
    status, result = operator.outcome(operator.load('second', feedback, dtype='bfloat16'))
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, ErrorCode.NONE)
    assert (result.name, result.device, result.dtype) == ('second', 'cpu', 'bfloat16')
    weights = size_of(cache / 'second.pt') // 2
    assert weights <= result.memory <= 2 * weights  # a CPU keeps those of linear layers twice
    assert 0 < result.load_time.sec * 10**9 + result.load_time.nanosec < 60e9
    phases = [item.phase for item in feedback]
    assert phases == sorted(
        phases,
        key=(Feedback.WAITING, Feedback.VERIFYING, Feedback.LOADING, Feedback.WARMING_UP).index,
    )
    loading = [item for item in feedback if item.phase == Feedback.LOADING]
    assert loading[-1].bytes_done == loading[-1].bytes_total == size_of(cache / 'second.pt')
    assert loading[-1].progress == 1.0
    assert operator.plan().model == 'second'
    assert operator.disk.gone('first') and not operator.disk.gone('second')
    eventually(lambda: operator.values.get('model') == 'second')
    assert operator.values['dtype'] == 'bfloat16'
    # '' is what the parameters say
    assert operator.outcome(operator.load())[1].name == 'first'


def test_list_says_what_there_is(operator, cache):
    (cache / 'second.pt').unlink()
    models = operator.models()
    assert models.keys() == MODELS.keys()
    first, second = models['first'], models['second']
    assert (first.state, first.device, first.dtype) == (ModelInfo.LOADED, 'cpu', 'float32')
    assert 4 * first.parameters == size_of(cache / 'first.pt')
    assert 4 * first.parameters <= first.memory <= 8 * first.parameters
    assert (first.on_disk, first.path) == (True, str(cache / 'first.pt'))
    assert first.file_size == (cache / 'first.pt').stat().st_size
    assert (first.action_dim, models['vit-large'].action_dim) == (7, 3)
    assert (first.licence, models['vit-large'].licence) == ('Apache-2.0', 'MIT')
    assert (second.state, second.device, second.memory) == (ModelInfo.UNLOADED, '', 0)
    assert (second.on_disk, second.path, second.file_size) == (False, '', 0)
    assert (first.layout, list(first.missing)) == ('meta', [])
    assert (second.layout, second.missing) == ('', ['http://host.invalid/second.pt'])
    assert len(models['vit-giant-ac-droid'].missing) == 2
    assert 1.0e9 < models['vit-giant-ac'].parameters < 1.4e9


@pytest.mark.case(61)
def test_plan_goal_loads_the_model_that_it_names(operator):
    feedback = []
    result = operator.plan('second', on_feedback=feedback.append)
    assert result.model == 'second' and np.isfinite(result.command).all()
    loading = [item.progress for item in feedback if item.phase == LOADING]
    assert loading == sorted(loading) and loading[-1] == 1.0
    assert [item.phase for item in feedback[: len(loading)]] == [LOADING] * len(loading)
    assert operator.disk.gone('first')
    feedback.clear()
    assert operator.plan('second', on_feedback=feedback.append).model == 'second'
    assert LOADING not in {item.phase for item in feedback}


@pytest.mark.case(61)
def test_the_model_of_one_goal_is_not_that_of_others(operator):
    assert operator.plan('second').model == 'second'
    feedback = []
    assert operator.plan(on_feedback=feedback.append).model == 'first'  # of the parameters
    assert feedback[0].phase == LOADING
    operator.outcome(operator.load('second', dtype='bfloat16'))
    assert operator.plan('first').model == 'first'
    assert operator.plan().model == 'second'  # of the last ~/load_model, as it was loaded
    assert operator.models()['second'].dtype == 'bfloat16'
    assert operator.plan('first').model == 'first'
    operator.code_of_load('nobody')
    assert operator.plan().model == 'second'
    operator.unload()
    assert operator.plan().model == 'first'


@pytest.mark.case(61)
def test_energies_and_landscapes_are_of_the_chosen_model_too(operator):
    robot, pictures = operator.robot, [to_image(ToyWorldModel.picture(p)) for p in (GOAL, START)]
    energy = robot.node.create_client(ComputeEnergy, 'planner/compute_energy')
    assert energy.wait_for_service(60.0)
    fields = {
        'goal_image': pictures[0],
        'use_current_image': True,
        'current_image': pictures[1],
        'use_start_state': True,
        'start_state': to_state_message(START),
        'resolution': [2, 2],
    }
    request = ComputeEnergy.Request(
        goal_image=pictures[0], use_current_image=True, current_image=pictures[1]
    )
    namespace = robot.node.get_namespace()
    name = f'{namespace}/compute_energy_landscape'
    with GoalClient(ComputeEnergyLandscape, name, robot.node) as landscapes:

        def landscape(**others):
            goal = ComputeEnergyLandscape.Goal(**{**fields, **others})
            return landscapes.send(goal).result(60.0).model

        alone = wait(energy.call_async(request))
        assert operator.plan('second').model == 'second'
        answer = wait(energy.call_async(request))
        assert (answer.error_code, answer.error_msg, answer.model) == (0, '', 'first')
        assert answer.energy == alone.energy
        for name, wanted in (('', 'first'), ('first', 'first'), ('second', 'second')):
            assert operator.plan('second').model == 'second'
            assert landscape(model=name) == wanted
        assert landscape(use_last_plan=True) == 'second'  # the plan's own
        operator.outcome(operator.load('second', dtype='bfloat16'))
        assert operator.plan('first').model == 'first'
        assert landscape() == 'second'  # of the last ~/load_model, as it was loaded
        assert operator.models()['second'].dtype == 'bfloat16'


@pytest.mark.case(61)
def test_an_energy_under_way_survives_that_its_model_is_exchanged(operator):
    robot, model = operator.robot, operator.robot.planner._worker.model
    energy = robot.node.create_client(ComputeEnergy, 'planner/compute_energy')
    assert energy.wait_for_service(60.0)
    goal, current = (to_image(ToyWorldModel.picture(state)) for state in (GOAL, START))
    request = ComputeEnergy.Request(goal_image=goal, use_current_image=True, current_image=current)
    expected = wait(energy.call_async(request)).energy
    entered, release = hold(model, 'encode')
    answer = energy.call_async(request)
    assert entered.wait(60.0)
    plan = operator.plan_async('second')
    eventually(lambda: robot.planner._worker._pool._work_queue.qsize())  # the load of second
    release()
    assert plan.result(60.0).model == 'second'
    found = wait(answer)
    assert (found.error_msg, found.model, found.energy) == ('', 'first', expected)


@pytest.mark.case(61)
def test_an_energy_comes_to_its_end_however_often_plans_exchange_the_model(operator, monkeypatch):
    robot, worker = operator.robot, operator.robot.planner._worker
    client = robot.node.create_client(ComputeEnergy, 'planner/compute_energy')
    assert client.wait_for_service(60.0)
    goal, current = (to_image(ToyWorldModel.picture(state)) for state in (GOAL, START))
    request = ComputeEnergy.Request(goal_image=goal, use_current_image=True, current_image=current)
    expected = wait(client.call_async(request)).energy
    energy, plans = worker.energy, []

    def after_a_plan(*args):
        plans.append(operator.plan_async('second'))
        with suppress(TimeoutError):
            plans[-1].result(1.0)
        return energy(*args)

    monkeypatch.setattr(worker, 'energy', after_a_plan)
    found = wait(client.call_async(request))
    assert (found.error_msg, found.model, found.energy) == ('', 'first', expected)
    # The first plan came in between; the second one waited for both pictures.
    assert [plan.result(60.0).model for plan in plans] == ['second', 'second']


def vast_content():
    """Return a checkpoint that is small in a file and too big for any memory."""
    encoder, predictor = (
        {key: torch.zeros(()).expand(tensor.shape) for key, tensor in part.state_dict().items()}
        for part in build_networks(VAST, 'meta')
    )
    return meta_content(encoder, predictor)


@pytest.mark.case(62)
@pytest.mark.parametrize('way', ['code_of_load', 'code_of_plan'])
def test_what_cannot_be_loaded_leaves_the_old_model_running(operator, cache, monkeypatch, way):
    ask = getattr(operator, way)
    code, text = ask('nobody')
    assert code == ErrorCode.MODEL_NOT_FOUND and "'nobody'" in text and 'vit-giant-ac' in text
    torch.save(random_content(FIRST), cache / 'second.pt')
    code, text = ask('second')
    assert code == ErrorCode.MODEL_LOAD_FAILED
    assert f"{cache}/second.pt: predictor 'predictor_embed.weight' is [64, 48]" in text
    (cache / 'second.pt').unlink()
    code, text = ask('second')
    assert code == ErrorCode.MODEL_LOAD_FAILED
    assert "'models download second'" in text and '~/load_model' in text
    torch.save(vast_content(), cache / 'vast.pt')
    monkeypatch.setitem(MODELS, 'vast', at(VAST, 'http://host.invalid/vast.pt'))
    code, text = ask('vast')
    assert code == ErrorCode.OUT_OF_MEMORY
    assert 'GB free' in text and '~/unload_model' in text
    assert operator.models()['first'].state == ModelInfo.LOADED
    assert operator.plan().model == 'first'


def test_wrong_device_and_dtype_are_refused(operator):
    code, text = operator.code_of_load('second', device='warp')
    assert code == ErrorCode.INVALID_SETTINGS and "device is 'warp'" in text
    code, text = operator.code_of_load('second', dtype='float12')
    assert code == ErrorCode.INVALID_SETTINGS and 'bfloat16' in text
    assert operator.plan().model == 'first'


@pytest.mark.case(64)
def test_download_can_be_stopped_and_goes_on_while_plans_are_made(
    operator, cache, server, monkeypatch
):
    server.content = (cache / 'second.pt').read_bytes()
    (cache / 'second.pt').unlink()
    (cache / 'second.pt.json').unlink(missing_ok=True)
    monkeypatch.setitem(MODELS, 'second', at(SECOND, f'{server.url}/second.pt'))
    server.answers = [functools.partial(serve, cut=30_000, stall=True)]
    feedback = []
    handle = operator.load('second', feedback, download=True)
    partial = cache / 'second.partial.pt'
    eventually(lambda: partial.exists() and partial.stat().st_size == 30_000)
    eventually(lambda: feedback and feedback[-1].phase == Feedback.DOWNLOADING)
    assert 0 < feedback[-1].bytes_done <= 30_000
    assert feedback[-1].bytes_total == len(server.content)
    assert operator.models()['second'].state == ModelInfo.DOWNLOADING
    assert operator.plan().model == 'first'
    wait(handle.cancel_goal_async())
    status, result = operator.outcome(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_CANCELED, ErrorCode.NONE)
    assert not (cache / 'second.pt').exists() and operator.plan().model == 'first'
    status, result = operator.outcome(operator.load('second', download=True))
    assert (status, result.name) == (GoalStatus.STATUS_SUCCEEDED, 'second')
    assert server.asked[-1]['Range'] == 'bytes=30000-'
    assert operator.plan().model == 'second'


@pytest.mark.case(62)
def test_cancelled_load_leaves_the_old_model_running(operator):
    operator.disk.slow.add('second')
    handle = operator.load('second')
    assert operator.disk.reached.wait(60.0)
    assert operator.models()['second'].state == ModelInfo.LOADING
    assert not operator.unload().success
    wait(handle.cancel_goal_async())
    status, result = operator.outcome(handle)
    assert (status, result.error_code) == (GoalStatus.STATUS_CANCELED, ErrorCode.NONE)
    assert operator.plan().model == 'first'
    assert operator.models()['second'].state == ModelInfo.UNLOADED


def test_newer_load_takes_over(operator):
    operator.disk.slow.add('second')
    older = operator.load('second')
    assert operator.disk.reached.wait(60.0)
    newer = operator.load('first', dtype='bfloat16')
    assert operator.outcome(older)[1].error_code == ErrorCode.PREEMPTED
    assert operator.outcome(newer)[1].dtype == 'bfloat16'


@pytest.mark.case(63)
def test_running_plan_keeps_its_model(operator):
    future, go_on = hold_plan(operator)
    feedback = []
    handle = operator.load('second', feedback)
    eventually(lambda: feedback and feedback[-1].phase == Feedback.WAITING)
    assert not operator.unload().success
    assert 'cancel it first' in operator.unload().message
    go_on()
    assert future.result(60.0).model == 'first'
    assert operator.outcome(handle)[1].name == 'second'
    assert operator.plan().model == 'second'


@pytest.mark.case(65)
def test_cancel_and_time_allowance_of_a_plan_goal_hold_while_a_model_is_loaded(operator):
    operator.disk.slow.add('second')
    code, text = operator.code_of_plan('second', time_allowance=0.2)
    assert code == ErrorCode.TIMEOUT and 'while the model was being loaded' in text
    for stop, code in (
        (lambda: operator.robot.client.cancel(60.0), ErrorCode.NONE),
        (lambda: operator.plan(), ErrorCode.PREEMPTED),
    ):
        operator.disk.reached.clear()
        future = operator.plan_async('second')
        assert operator.disk.reached.wait(60.0)
        stop()
        assert future.exception(60.0).code == code
    # the same while another one's load is waited for
    handle, feedback = operator.load('second'), []
    operator.disk.reached.clear()
    assert operator.disk.reached.wait(60.0)
    code, _ = operator.code_of_plan('', time_allowance=0.2, on_feedback=feedback.append)
    assert code == ErrorCode.TIMEOUT and feedback[0].phase == LOADING
    operator.disk.release()
    assert operator.outcome(handle)[1].name == 'second'


@pytest.mark.case(61)
def test_unloaded_model_is_loaded_again_by_the_next_goal(operator):
    answer = operator.unload()
    assert answer.success and 'first' in answer.message
    assert operator.disk.gone('first')
    assert operator.models()['first'].state == ModelInfo.UNLOADED
    eventually(lambda: operator.values.get('model') == 'none')
    again = operator.unload()
    assert (again.success, again.message) == (
        False,
        'no model is loaded: configuring the node, a plan or ~/load_model loads one',
    )
    feedback = []
    assert operator.plan(on_feedback=feedback.append).model == 'first'
    assert feedback[0].phase == LOADING


@pytest.mark.case(66)
def test_switching_gives_the_memory_of_the_old_model_back(operator, tmp_path, monkeypatch):
    encoder, predictor = build_networks(BIG)
    torch.save(meta_content(encoder.state_dict(), predictor.state_dict()), tmp_path / 'big.pt')
    del encoder, predictor
    for name in ('big', 'other'):
        monkeypatch.setitem(MODELS, name, at(replace(BIG, name=name), f'http://x.invalid/{name}'))
    process, resident = psutil.Process(), {}
    release_memory()  # of tests before: what is free already would not be seen to be freed

    def load(name):
        status, result = operator.outcome(operator.load(name, checkpoint=str(tmp_path / 'big.pt')))
        assert (status, result.name) == (GoalStatus.STATUS_SUCCEEDED, name)
        resident[name] = process.memory_info().rss
        return result.memory

    load('big')
    memory = load('other')
    assert memory > 190e6
    # Far from all and nothing: other threads of this process take and free memory too.
    assert resident['other'] - resident['big'] < 0.4 * memory
    looked_at = operator.robot.planner._worker.model  # as by diagnostics, just then
    assert operator.unload().success
    assert resident['other'] - process.memory_info().rss > 0.6 * memory
    assert (looked_at.name, looked_at.device.type, looked_at.memory) == ('other', 'cpu', memory)


def test_loads_end_with_the_node_s_configuration(operator):
    operator.disk.slow.add('second')
    handle = operator.load('second')
    assert operator.disk.reached.wait(60.0)
    for number in (DEACTIVATE, CLEANUP):
        assert transition(operator.robot, number)
    assert operator.outcome(handle)[1].error_code == ErrorCode.NODE_DEACTIVATED
    assert operator.is_refused()
    assert not operator.unload().success
    assert operator.models()['first'].state == ModelInfo.UNLOADED
    for number in (CONFIGURE, ACTIVATE):
        assert transition(operator.robot, number)
    assert operator.plan().model == 'first'


def test_memory_shortages_are_reported(operator, monkeypatch):
    predictor = operator.robot.planner._worker.model.predictor
    step = predictor.step

    def short(latents, actions, *args, **options):
        if len(actions) > 4:
            raise torch.OutOfMemoryError('2 TiB')
        return step(latents, actions, *args, **options)

    monkeypatch.setattr(predictor, 'step', short)
    operator.plan()
    eventually(lambda: operator.values.get('memory shortages') == '1')


def test_a_name_forges_no_line_and_is_shortened(robot):
    for name in ('x\n[INFO] forged\x1b[31m', 'y' * 10**6):
        with pytest.raises(PlanFailed) as failed:
            robot.plan(model=name)
        assert failed.value.code == ErrorCode.MODEL_NOT_FOUND
        assert len(failed.value.message) < 3000
        assert '\n' not in failed.value.message and '\x1b' not in failed.value.message
    assert not [line for line in robot.logged('forged') if '\n' in line or '\x1b' in line]


@pytest.mark.slow
def test_whatever_is_asked_at_once_gets_a_code_of_its_own(make_robot):
    robot = make_robot(autostart=True).ready()
    robot.model.delay = 0.005
    unload = robot.node.create_client(UnloadModel, 'planner/unload_model')
    energy = robot.node.create_client(ComputeEnergy, 'planner/compute_energy')
    for client in (unload, energy):
        assert client.wait_for_service(60.0)
    goal, rng, answers, futures = to_goal().goal_image, np.random.default_rng(5), [], []
    namespace = robot.node.get_namespace()
    with (
        GoalClient(LoadModel, f'{namespace}/planner/load_model', robot.node) as loads,
        GoalClient(
            ComputeEnergyLandscape, f'{namespace}/compute_energy_landscape', robot.node
        ) as landscapes,
    ):
        asks = (
            lambda: answers.append(unload.call_async(UnloadModel.Request())),
            lambda: answers.append(energy.call_async(ComputeEnergy.Request(goal_image=goal))),
            lambda: futures.append(loads.send(LoadModel.Goal(name='sim-panda-ac'))),
            lambda: futures.append(
                landscapes.send(ComputeEnergyLandscape.Goal(goal_image=goal, resolution=[10, 10]))
            ),
            lambda: futures.append(robot.client.plan_async(ToyWorldModel.picture(GOAL))),
        )
        for _ in range(100):
            asks[rng.integers(len(asks))]()
            eventually(lambda: sum(not answer.done() for answer in answers) < 4)
        errors = [future.exception(60.0) for future in futures]
        eventually(lambda: all(answer.done() for answer in answers))
    codes = {error.code for error in errors if error is not None}
    codes |= {getattr(answer.result(), 'error_code', 0) for answer in answers}
    assert ErrorCode.UNKNOWN not in codes, [str(error) for error in errors]
    assert not [error for error in robot.errors() if 'Traceback' in error]
