# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser, against the real planner and simulator."""

import base64
import re

from conftest import eventually, NAMESPACE, Server, SIMULATION
import pytest
from rcl_interfaces.msg import Log, Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rights import allowed, had
from std_srvs.srv import SetBool, Trigger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a browser on a busy machine
PROBABILITY = re.compile(r'^[01]\.\d\d \(probability\)$')  # a calibrated confidence


@pytest.fixture
def files(pictures, tmp_path):
    """Return the paths of the start and the goal as files."""
    paths = tmp_path / 'start.png', tmp_path / 'goal.png'
    for path, picture in zip(paths, pictures):
        path.write_bytes(picture)
    return [str(path) for path in paths]


@pytest.fixture
def plan(server, pictures):
    """Return a function that plans from the start to the goal by REST, to the end."""

    def go(seed):
        status, answer = server.ask(
            'POST',
            '/api/plan',
            {
                'goalImage': base64.b64encode(pictures[1]).decode(),
                'optimizer': 'cem',
                'samples': 64,
                'iterations': 3,
                'seed': seed,
            },
        )
        assert status == 202, answer
        path = f'/api/plan/{answer["task_id"]}'
        eventually(lambda: server.ask('GET', path)[1]['status'] == 'completed')

    return go


@pytest.fixture
def other():
    """Return a node beside the console's."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('other', context=context, namespace=NAMESPACE)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def ask_service(other):
    """Return a function that asks a service and returns its answer."""

    def ask(kind, name, request):
        client = other.create_client(kind, name)
        assert client.wait_for_service(60.0)
        executor = SingleThreadedExecutor(context=other.context)
        answer = client.call_async(request)
        rclpy.spin_until_future_complete(other, answer, executor, timeout_sec=60.0)
        executor.shutdown()
        other.destroy_client(client)
        return answer.result()

    return ask


@pytest.fixture
def start_again(ask_service):
    """Put the arm back to the start of an episode before a test."""
    assert ask_service(Trigger, 'next_episode', Trigger.Request()).success


@pytest.fixture
def slow_arm(ask_service):
    """Let runs last longer than a busy machine takes to press a key."""

    def set_speed(speed):
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=speed)
        request = SetParameters.Request(
            parameters=[Parameter(name='limits.max_speed', value=value)]
        )
        (answer,) = ask_service(SetParameters, 'controller/set_parameters', request).results
        assert answer.successful, answer.reason

    set_speed(0.005)
    yield
    set_speed(SIMULATION['limits.max_speed'])


@pytest.fixture
def open_page(page, server):
    """Return a function that opens a page of the console; nothing is fetched from elsewhere."""

    def go(path='/'):
        page.goto(server.url + path)
        page.wait_for_selector('.chip .dot.good')
        return page

    yield go
    assert all(re.match(rf'({server.url}|data:|blob:)', url) for url in page.requests)


def choose(page, label, path):
    """Give a file to the picture of this label, and wait until it is shown."""
    section = page.locator(f'section[aria-label="{label}"]')
    section.locator('input[type=file]').set_input_files(path)
    section.locator('.drop.filled').wait_for()


def numbers(page):
    """Return the command that the page shows."""
    cells = page.locator('table.plain tbody td.number').all_inner_texts()
    return [float(text) for text in cells if text != '-']


def traces(page, values, plot=0):
    """Return what JavaScript makes of the traces of a plot; there are none before it is drawn."""
    drawn = f'document.querySelectorAll(".js-plotly-plot")[{plot}]?.data ?? []'
    return page.evaluate(f'(traces => {values})({drawn})')


def drawn(page, trace=0):
    """Return the ordinates of a trace of the first plot, [] before it is drawn."""
    return traces(page, f'[...(traces.at({trace})?.y ?? [])]')


def test_a_plan_from_two_files_to_the_command(open_page, files):
    page = open_page()
    choose(page, 'Current picture', files[0])
    choose(page, 'Goal picture', files[1])
    page.get_by_role('button', name='Plan', exact=True).click()
    page.get_by_text('planned', exact=True).wait_for()
    command = numbers(page)
    assert len(command) == 7 and any(command)
    eventually(lambda: len(drawn(page, -1)) >= 2)
    best = drawn(page, -1)
    assert best == sorted(best, reverse=True)
    page.get_by_text(re.compile('planned in .* confidence')).wait_for()  # a notification
    image = page.get_by_alt_text('Imagined')
    image.wait_for()
    eventually(lambda: image.evaluate('image => image.naturalWidth') == 128)
    page.get_by_text(re.compile('off by .* of 255')).wait_for()


def test_the_camera_is_the_goal_and_a_plan_is_cancelled(open_page):
    page = open_page()
    goal = page.locator('section[aria-label="Goal picture"]')
    goal.get_by_role('button', name='Goal picture: Camera').click()
    goal.locator('.drop.filled').wait_for()
    page.get_by_label('Optimizer').click()
    page.get_by_role('option', name='cem').click()
    for name, value in (('Samples', '3000'), ('Iterations', '100')):
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_role('button', name='Plan', exact=True).click()
    page.get_by_text(re.compile('iteration [0-9]+ of 100')).wait_for()
    page.get_by_role('button', name='Cancel').click()
    page.get_by_text('cancelled', exact=True).wait_for()


def test_a_plan_with_a_preset_of_another_planner_and_a_cost(open_page, files):
    page = open_page()
    choose(page, 'Current picture', files[0])
    choose(page, 'Goal picture', files[1])
    for name, value in (('Preset', "Meta's planner"), ('Cost', 'l2')):
        page.get_by_label(name, exact=True).click()
        page.get_by_role('option', name=value).click()
    assert page.get_by_label('Samples').get_attribute('placeholder') == '400'
    page.get_by_label('Samples').fill('40')
    page.get_by_role('button', name='Plan', exact=True).click()
    page.get_by_text('planned', exact=True).wait_for()
    eventually(lambda: len(drawn(page, -1)) == 10)
    page.goto(page.url + 'system')
    page.get_by_text(re.compile("horizon 2, cost l2, preset 'meta'")).first.wait_for()


def test_what_is_wrong_with_a_picture_is_told(open_page, tmp_path, server):
    page = open_page()
    page.allowed_faults = ['422']
    (tmp_path / 'goal.png').write_text('<script>alert(1)</script>')
    section = page.locator('section[aria-label="Goal picture"]')
    section.locator('input[type=file]').set_input_files(str(tmp_path / 'goal.png'))
    page.get_by_text(re.compile('no picture: allowed: jpeg, png or webp')).wait_for()


def test_the_page_comes_back_after_the_server_was_started_again(open_page, server):
    page = open_page()
    page.allowed_faults = ['ERR_CONNECTION_REFUSED', 'WebSocket']
    page.locator('.stop:not([disabled])').wait_for()
    try:
        server.stop()
        page.keyboard.press('Escape')
        page.get_by_role('alert').get_by_text('STOP failed: the console did not answer').wait_for()
    finally:
        server.start()
    eventually(lambda: server.ask('GET', '/api/system')[1]['planner'])
    page.wait_for_selector('.chip .dot.good')
    page.get_by_role('button', name='Plan', exact=True).wait_for()


def test_another_name_than_this_machine_needs_the_token(page, nodes):
    # Browsers look for any name under .localhost on this machine; the console does not know it.
    server = Server({'VJEPA2_WEB_TOKEN': 'a token'})
    try:
        page.allowed_faults = ['401']
        page.goto(f'http://lab.localhost:{server.port}/')
        for token in ('another', 'a token'):
            page.get_by_label('Token').fill(token)
            page.get_by_role('button', name='Sign in').click()
        page.wait_for_selector('.chip .dot.good')
        assert page.url.startswith(f'http://lab.localhost:{server.port}/')
        page.goto('about:blank')  # before the server goes
    finally:
        assert server.stop() == 0, server.output


def test_a_model_is_loaded_and_unloaded(open_page):
    page = open_page('/models')
    row = page.locator('tr', has=page.get_by_role('rowheader', name='sim-panda', exact=True))
    row.get_by_role('button', name='sim-panda: Load').click()
    row.get_by_text('loaded', exact=True).wait_for()
    row.get_by_role('button', name='sim-panda: Unload').click()
    row.get_by_text('on disk').wait_for()
    other = page.locator('tr', has=page.get_by_role('rowheader', name='sim-panda-ac'))
    other.get_by_role('button', name='sim-panda-ac: Load').click()
    other.get_by_text('loaded', exact=True).wait_for()


def points(page, plot):
    """Return where the first candidates of a plot are; [] before they are drawn."""
    values = (
        'traces.filter(each => each.name === "candidates").map(each => [...each.x].slice(0, 20))'
    )
    return traces(page, values, plot)


def test_a_slider_moves_the_candidates_over_a_landscape(open_page, plan):
    page = open_page('/landscape')
    text = page.get_by_text('iteration 3 of 3')

    def plan_is_heard():
        plan(seed=3)
        return any(text.is_visible() or page.wait_for_timeout(500) for _ in range(20))

    eventually(plan_is_heard)  # the first may come before the page listens
    last = [eventually(lambda: points(page, plot)) for plot in (0, 1)]
    page.locator('.q-slider [tabindex]').focus()
    page.keyboard.press('ArrowLeft')
    page.get_by_text('iteration 2 of 3').wait_for()
    for plot, before in enumerate(last):
        eventually(lambda: points(page, plot) not in ([], before))
    page.get_by_label('Points').click()
    page.get_by_role('option', name='11 x 11').click()
    page.get_by_role('button', name='Measure').click()
    page.get_by_text(re.compile('121 points, lowest')).wait_for()
    kinds = (
        'Array.from(document.querySelectorAll(".js-plotly-plot"), plot => plot.data?.[0]?.type)'
    )
    eventually(lambda: page.evaluate(kinds) == ['contour', 'surface'])


def test_recorded_plans_are_compared_reported_and_deleted_with_undo(open_page, plan, nodes):
    for seed in (1, 2):
        plan(seed=seed)
    eventually(lambda: len(list(nodes.glob('[!.]*/metadata.yaml'))) >= 2)
    page = open_page('/history')
    rows = page.locator('.q-table tbody tr', has_text='succeeded')
    eventually(lambda: rows.count() >= 2)
    for index in (0, 1):
        rows.nth(index).get_by_text(PROBABILITY).wait_for()
        rows.nth(index).get_by_role('checkbox').click()
    page.get_by_role('button', name=re.compile('Compare')).click()
    page.get_by_text(re.compile('plan [0-9a-f]{8} and plan [0-9a-f]{8}')).wait_for()
    eventually(lambda: traces(page, 'traces.length') == 2)
    rows.nth(1).get_by_role('checkbox').click()
    with page.context.expect_page() as opened:
        page.get_by_role('button', name='selected: Report').click()
    opened.value.get_by_text('Narrowing distribution').wait_for()
    opened.value.close()
    deleted = rows.nth(0).locator('td').nth(2).inner_text()
    row = page.locator('.q-table tbody tr', has_text=deleted)
    page.get_by_role('button', name='selected: Delete').click()
    eventually(lambda: row.count() == 0)
    page.get_by_role('button', name='Deletion: Undo').click()
    eventually(lambda: row.count() == 1)


def test_a_recorded_run_is_reported_and_exported(open_page, files, server, nodes):
    page = open_page('/reach')
    page.get_by_label('Pictures of sub-goals').set_input_files(files[1])
    page.get_by_role('listitem', name='Sub-goal 1').wait_for()
    page.get_by_role('button', name='Start', exact=True).click()
    page.get_by_text(re.compile('dry run')).first.wait_for()
    eventually(lambda: list(nodes.glob('*_run_*/metadata.yaml')))
    page = open_page('/history')
    page.get_by_role('button', name='Runs', exact=True).click()
    page.locator('.q-table tbody tr').first.get_by_role('checkbox').click()
    with page.context.expect_page() as opened:
        page.get_by_role('button', name='selected: Report').click()
    opened.value.get_by_text('Rise, surprise and confidence').wait_for()
    opened.value.close()
    status, steps = server.ask('GET', '/api/runs/latest/export/csv')
    assert status == 200 and len(steps.splitlines()) == 2
    assert server.ask('GET', '/api/runs/..%2Fplans/report')[0] == 404
    assert server.ask('GET', '/api/runs/0000/report')[0] == 404


def test_the_energy_between_two_pictures_and_along_several(open_page, files):
    page = open_page('/check')
    choose(page, 'Goal picture', files[1])
    choose(page, 'Picture', files[1])
    page.get_by_role('button', name='Compare').click()
    page.get_by_text('0.00000').wait_for()
    page.get_by_label('Pictures of a recording', exact=True).set_input_files(files)
    page.get_by_text('2 pictures', exact=True).wait_for()
    page.get_by_role('button', name='Measure').click()
    page.get_by_text(re.compile('^2 pictures, start.png')).wait_for()
    goal, start = eventually(lambda: drawn(page))
    assert goal == 0.0 < start
    page.get_by_role('button', name='Pictures of a recording: Clear').click()
    page.get_by_text('Drop pictures here').wait_for()
    page.get_by_label('Pictures of a recording', exact=True).set_input_files(files[1])
    page.get_by_text('1 pictures', exact=True).wait_for()


def test_what_is_imagined_is_heard_only_while_it_is_shown(open_page, other):
    def listeners():
        return other.count_subscribers('planner/imagined')

    page = open_page('/')
    eventually(lambda: listeners() == 1)
    page.goto('about:blank')
    eventually(lambda: listeners() == 0)


def test_the_console_has_nothing_that_its_enclave_does_not_name(open_page, other):
    may = allowed('web', NAMESPACE, {f'planner/{name}': name for name in ('image', 'camera_info')})

    def has():
        nodes = [node for node in other.get_node_names_and_namespaces() if node[1] == NAMESPACE]
        return had(other, [node for node in nodes if node[0].startswith(('web', 'goal_client'))])

    for path, topic in (('/', 'planner/imagined'), ('/reach', 'image')):
        open_page(path)
        eventually(lambda topic=topic: ('subscribe', f'{NAMESPACE}/{topic}') in has())
        assert has() <= may


def test_system_shows_figures_diagnostics_and_the_log(open_page, plan):
    page = open_page('/system')
    plan(seed=1)
    page.get_by_text(f'{NAMESPACE}/planner: planner').wait_for()
    page.get_by_text(re.compile('Goal .*: done in')).first.wait_for()
    page.get_by_text(re.compile('^[0-9.]+ GB$')).first.wait_for()


def test_errors_are_found_behind_many_other_lines(open_page, other):
    latched = QoSProfile(depth=500, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    log = other.create_publisher(Log, '/rosout', latched)
    page = open_page('/system')
    log.publish(Log(level=40, name='arm', msg='the arm is broken'))
    page.get_by_text('arm: the arm is broken').wait_for()
    for number in range(250):
        log.publish(Log(level=20, name='arm', msg=f'line {number}'))
    page.get_by_text('arm: line 249').wait_for()
    page.get_by_label('Show', exact=True).click()
    page.get_by_role('option', name='errors', exact=True).click()
    page.get_by_text('arm: the arm is broken').wait_for()


def begin_run(page, files, arm=True):
    """Start a run to the goal on the page Reach."""
    page.get_by_label('Pictures of sub-goals').set_input_files(files[1])
    page.get_by_role('listitem', name='Sub-goal 1').wait_for()
    page.get_by_text('Dry run: plan').click()
    if arm:
        page.get_by_role('button', name='Arm', exact=True).click()
        page.get_by_text('armed: a run moves the arm').wait_for()
    page.get_by_role('button', name='Start', exact=True).click()


def test_nothing_moves_before_it_is_armed(open_page, files):
    page = open_page('/reach')
    begin_run(page, files, arm=False)
    page.get_by_text(re.compile('^stopped, disarmed')).wait_for()


def test_an_arm_that_others_have_armed_is_not_said_to_be_disarmed(open_page, ask_service):
    page = open_page('/reach')
    assert ask_service(SetBool, 'controller/arm', SetBool.Request(data=True)).success
    page.get_by_text('armed, but not by this console').wait_for()
    page.get_by_role('button', name='Disarm').click()
    page.get_by_text('disarmed: nothing moves').wait_for()
    page.get_by_role('button', name='Disarm').click()  # as a browser that lags behind would
    page.wait_for_timeout(4000)  # by then the controller has told what it is
    assert page.get_by_text('disarmed: nothing moves').is_visible()


def test_a_run_reaches_its_goal(open_page, files):
    page = open_page('/reach')
    begin_run(page, files)
    page.get_by_text(re.compile('^reached, settled')).wait_for()
    page.locator('tbody').get_by_text(PROBABILITY).first.wait_for()
    eventually(lambda: (energies := drawn(page)) and energies[-1] < 0.6 * energies[0])
    page.get_by_role('button', name='Disarm').click()
    page.get_by_text('disarmed: nothing moves').wait_for()


def test_stop_by_the_keyboard_ends_a_run_and_disarms(open_page, files, start_again, slow_arm):
    page = open_page('/reach')
    begin_run(page, files)
    # Any phase: a busy machine may show none of them for long.
    page.get_by_text(
        re.compile('waiting for frames|planning|moving|coming to rest')
    ).first.wait_for()
    page.keyboard.press('Escape')
    page.get_by_text(re.compile('^stopped, stop called')).wait_for()
    page.get_by_text('disarmed: nothing moves').wait_for()


def test_stop_is_in_reach_while_the_pages_are_listed_on_a_small_screen(page, open_page):
    page.set_viewport_size({'width': 400, 'height': 900})
    open_page('/system')
    page.get_by_role('button', name='Show or hide the pages').click()
    page.locator('.q-drawer__backdrop').wait_for()
    page.locator('.stop:not([disabled])').click(timeout=20_000)
    page.get_by_text('STOP: stopped and disarmed').wait_for()


def test_the_controller_is_disarmed_when_the_browser_goes_away(open_page, files):
    page = open_page('/reach')
    begin_run(page, files)
    page.goto('about:blank')
    open_page('/reach')
    page.get_by_text('disarmed: nothing moves').wait_for()


def test_pages_work_by_keyboard_and_for_screen_readers(open_page):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright').Axe()
    page = open_page('/')
    page.emulate_media(reduced_motion='reduce')  # what fades in has little contrast on the way
    for theme in ('light', 'dark'):
        for path in (
            '/',
            '/reach',
            '/landscape',
            '/history',
            '/models',
            '/check',
            '/recordings',
            '/system',
        ):
            page.context.add_cookies([{'name': 'vjepa2_theme', 'value': theme, 'url': page.url}])
            open_page(path)
            page.wait_for_timeout(500)
            found = axe.run(page).response['violations']
            serious = [each for each in found if each['impact'] in ('serious', 'critical')]
            assert not serious, (
                path,
                theme,
                [(each['id'], each['nodes'][0]['html']) for each in serious],
            )


def test_a_recording_is_looked_at_from_its_page(open_page):
    page = open_page('/recordings')
    page.get_by_role('button', name='Start').click()
    page.get_by_text('39 of 1 step').first.wait_for(timeout=60000)
    page.get_by_text('drive.npz, done').wait_for(timeout=60000)
