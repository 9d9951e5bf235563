# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A page in headless Chromium, by the protocol of its developer tools over a pipe."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
LOCAL = ('file:', 'data:', 'blob:')
PATIENCE = 120.0  # s; a browser is slow on a busy machine


class Page:
    """A context manager; opens an HTML file and does with it what a person could."""

    def __init__(self, file, profile, size=(1200, 900)):
        command_out, self._commands = os.pipe()
        self._answers, answer_in = os.pipe()
        self._process = subprocess.Popen(
            [
                'bash',
                '-c',
                f'exec "$0" "$@" 3<&{command_out} 4>&{answer_in}',
                CHROMIUM,
                '--headless',
                '--no-sandbox',
                '--remote-debugging-pipe',
                '--use-angle=swiftshader',
                '--enable-unsafe-swiftshader',
                f'--window-size={size[0]},{size[1]}',
                f'--user-data-dir={profile}',
            ],
            pass_fds=(command_out, answer_in),
            stderr=subprocess.DEVNULL,
        )
        os.close(command_out)
        os.close(answer_in)
        self._session, self._number, self._rest, self.events = None, 0, b'', []
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self._session = self.call('Target.attachToTarget', targetId=target, flatten=True)[
            'sessionId'
        ]
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        self.call('Page.navigate', url=file.as_uri())
        while not any(event['method'] == 'Page.loadEventFired' for event in self.events):
            self.events.append(self._read())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method, **parameters):
        """Return the answer to a command."""
        self._number += 1
        command = {'id': self._number, 'method': method, 'params': parameters}
        if self._session:
            command['sessionId'] = self._session
        os.write(self._commands, json.dumps(command).encode() + b'\0')
        while True:
            message = self._read()
            if message.get('id') == self._number:
                assert 'error' not in message, message
                return message['result']
            if 'method' in message:
                self.events.append(message)

    def evaluate(self, expression):
        """Return the value of a JavaScript expression."""
        answer = self.call(
            'Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True
        )
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def wait_for(self, expression):
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < until, f'{expression} did not become true'
            time.sleep(0.05)

    def press(self, selector, start, end=None):
        """Press the mouse in an element and release it elsewhere there (shares of its size)."""
        left, top, width, height = self.evaluate(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: 'center'}});
            const box = element.getBoundingClientRect();
            return [box.x, box.y, box.width, box.height]; }})()""")
        kinds = ('mousePressed', 'mouseMoved', 'mouseReleased')
        for kind, (across, down) in zip(kinds, (start, end or start, end or start)):
            self.call(
                'Input.dispatchMouseEvent',
                type=kind,
                x=left + across * width,
                y=top + down * height,
                button='left',
                buttons=1,
                clickCount=1,
            )

    def faults(self):
        """Return exceptions, errors of the browser, and whatever was fetched but the page."""
        return [
            event
            for event in self.events
            if (
                event['method'] == 'Runtime.exceptionThrown'
                or (
                    event['method'] == 'Log.entryAdded'
                    and event['params']['entry']['level'] == 'error'
                )
                or (
                    event['method'] == 'Network.requestWillBeSent'
                    and not event['params']['request']['url'].startswith(LOCAL)
                )
            )
        ]

    def screenshot(self, file):
        """Write the whole page as PNG."""
        answer = self.call('Page.captureScreenshot', captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer['data']))

    def _read(self):
        until = time.monotonic() + PATIENCE
        while b'\0' not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], until - time.monotonic())
            assert ready, 'Chromium does not answer'
            part = os.read(self._answers, 1 << 16)
            assert part, 'Chromium has ended'
            self._rest += part
        message, _, self._rest = self._rest.partition(b'\0')
        return json.loads(message)
