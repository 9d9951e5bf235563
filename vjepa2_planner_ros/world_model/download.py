# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Fetch a file of weights into a folder, whole or not at all.

What has come so far lies in ``NAME.partial.pt`` and gets its name when it is complete. A JSON file
beside it says which version of the file it is part of, so that a later download goes on from
there, and only with the same version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
import errno
import fcntl
from functools import partial
import hashlib
from http.client import HTTPException, HTTPResponse
import json
import os
from pathlib import Path
import re
import shutil
import socket
import threading
from time import monotonic, sleep
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from .errors import DownloadError

CHUNK = 1 << 20
# HTTP statuses of a server that may answer later (RFC 9110, RFC 6585)
PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)

VALIDATOR = re.compile(r'[ -~]{1,1000}')  # of one line: it is sent as a header

Progress = Callable[[str, int, int], None]  # phase, bytes done, bytes in all
CheckStop = Callable[[], None]  # what it raises ends the work


class _Broken(Exception):  # noqa: N818
    """A connection ended before the file was whole; another one may bring the rest."""


@dataclass
class _Transfer:
    """A download and what its connections have in common."""

    url: str
    path: Path
    timeout: float
    progress: Progress
    check_stop: CheckStop
    # The validator of If-Range and the size, once they are known.
    version: dict[str, Any] = field(default_factory=dict)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def partial(self) -> Path:
        return self.path.with_name(f'{self.path.stem}.partial{self.path.suffix}')

    @property
    def notes(self) -> Path:
        return self.partial.with_name(self.partial.name + '.json')


def download(
    url: str,
    path: str | Path,
    *,
    check: Callable[[Path, str], None] | None = None,
    progress: Progress | None = None,
    check_stop: CheckStop = lambda: None,
    timeout: float = 30.0,
    patience: int = 3,
    wait: float = 1.0,
) -> Path:
    """
    Fetch a file, going on with what an earlier download left.

    :param url: http or https; proxies come from the environment as for urllib.
    :param check: called with the complete file and its SHA-256 before it gets its name; what it
        raises ends the download.
    :param progress: called with the phase ('verify' while an earlier part is read again,
        'download'), the bytes done and those in all.
    :param check_stop: called five times a second, also from another thread; what it raises ends
        the download, and another one goes on from there.
    :param timeout: s of silence after which a connection is given up.
    :param patience: connections in a row that may bring nothing new before it ends.
    :param wait: s before the second such connection; each time longer.
    :raise DownloadError: no network, no such file, no space, a server that tells no or a wrong
        length.
    """
    transfer = _Transfer(
        url, Path(path), timeout, progress or (lambda phase, done, total: None), check_stop
    )
    try:
        transfer.path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(transfer) as file:
            _resume(file, transfer)
            _complete(file, transfer, patience, wait)
            os.fsync(file.fileno())
            if check is not None:
                _run_check(check, file, transfer)
            transfer.partial.replace(transfer.path)
            transfer.notes.unlink(missing_ok=True)
    except OSError as error:  # of the folder; those of the network have become others
        raise DownloadError(f'{transfer.path} cannot be written: {error}') from error
    return transfer.path


@contextmanager
def _opened(transfer: _Transfer) -> Iterator[BinaryIO]:
    """Open the partial file for this process alone."""
    with open(transfer.partial, 'a+b', opener=_own_file) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(file.fileno()), transfer.partial.stat())
        except (BlockingIOError, FileNotFoundError):
            same = False  # in use, or complete and renamed since it was opened
        if not same:
            raise DownloadError(f'{transfer.path} is being downloaded by another process')
        try:
            yield file
        finally:
            if not os.fstat(file.fileno()).st_size:
                transfer.partial.unlink(missing_ok=True)
                transfer.notes.unlink(missing_ok=True)


def _own_file(path: str, flags: int) -> int:
    """Open a file, not what a symbolic link leads to: that belongs to somebody else."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DownloadError(f'{path} is a symbolic link: delete it and try again') from error


def _run_check(check: Callable[[Path, str], None], file: BinaryIO, transfer: _Transfer) -> None:
    try:
        check(transfer.partial, transfer.digest.hexdigest())
    except Exception:
        file.truncate(0)  # whatever came, it is not the beginning of something good
        raise


def _resume(file: BinaryIO, transfer: _Transfer) -> None:
    """Take up what an earlier download left of the same file, or clear it away."""
    size = os.fstat(file.fileno()).st_size
    try:
        notes = json.loads(transfer.notes.read_text())
        usable = (
            notes['url'] == transfer.url
            and VALIDATOR.fullmatch(notes['validator'])
            and size <= notes['size']
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        usable = False
    if not usable or not size:
        file.truncate(0)
        return
    transfer.version = notes
    file.seek(0)
    while chunk := file.read(CHUNK):
        transfer.check_stop()
        transfer.digest.update(chunk)
        transfer.progress('verify', file.tell(), size)


def _complete(file: BinaryIO, transfer: _Transfer, patience: int, wait: float) -> None:
    """Connect until the file is whole, or no connection brings anything new any more."""
    most, fruitless = os.fstat(file.fileno()).st_size, 0
    while not most or most < transfer.version['size']:
        transfer.check_stop()
        try:
            _receive(file, transfer)
            return
        except _Broken as broken:
            transfer.check_stop()
            size = os.fstat(file.fileno()).st_size
            fruitless = 0 if size > most else fruitless + 1
            most = max(most, size)
            if fruitless >= patience:
                raise DownloadError(f'{transfer.url}: {broken}') from broken
            until = monotonic() + wait * fruitless
            while monotonic() < until:
                transfer.check_stop()
                sleep(min(0.1, wait))


def _receive(file: BinaryIO, transfer: _Transfer) -> None:
    """Append what one connection brings; return if the file is whole then."""
    with _connect(file, transfer) as response:
        size, total = _begin(file, transfer, response)
        with _cut_on_stop(response, transfer.check_stop):
            while size < total:
                chunk = _read(response, transfer)
                if not chunk:
                    raise _Broken(f'the connection ended after {size} of {total} bytes')
                if size + len(chunk) > total:
                    _start_over(file, transfer)
                    raise _Broken(f'more than the promised {total} bytes came')
                file.write(chunk)
                file.flush()  # its size is what counts when the connection breaks
                transfer.digest.update(chunk)
                size += len(chunk)
                transfer.progress('download', size, total)


def _read(response: HTTPResponse, transfer: _Transfer) -> bytes:
    try:
        chunk = response.read1(CHUNK)
    except TimeoutError:
        raise _Broken(f'nothing came for {transfer.timeout:g} s') from None
    except (OSError, HTTPException) as error:
        raise _Broken(f'the connection broke: {error}') from error
    transfer.check_stop()
    return chunk


def _connect(file: BinaryIO, transfer: _Transfer) -> HTTPResponse:
    """Ask for what is missing of the file."""
    headers = {'User-Agent': 'vjepa2_planner_ros', 'Accept-Encoding': 'identity'}
    size = os.fstat(file.fileno()).st_size
    if size and transfer.version['validator']:
        headers |= {'Range': f'bytes={size}-', 'If-Range': transfer.version['validator']}
    try:
        return _unless_stopped(
            partial(urlopen, Request(transfer.url, headers=headers), timeout=transfer.timeout),
            transfer.check_stop,
        )
    except HTTPError as error:
        error.close()
        if error.code == 416:  # what is here does not belong to what is there
            _start_over(file, transfer)
        elif error.code not in PASSING_STATUSES:
            raise DownloadError(
                f'{transfer.url}: the server answers {error.code} {error.reason}'
            ) from error
        raise _Broken(f'the server answers {error.code} {error.reason}') from error
    except TimeoutError:
        raise _Broken(f'no answer for {transfer.timeout:g} s') from None
    except (URLError, OSError, HTTPException) as error:
        raise _Broken(f'no connection to the server: {getattr(error, "reason", error)}') from error


def _unless_stopped(connect: Callable[[], HTTPResponse], check_stop: CheckStop) -> HTTPResponse:
    """Return connect(), or raise what check_stop() does: a server may say nothing for long."""
    future: Future[HTTPResponse] = Future()

    def run() -> None:
        try:
            future.set_result(connect())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while True:
        wait([future], 0.2)
        if future.done():
            return future.result()
        try:
            check_stop()
        except BaseException:  # the response is closed when it comes
            future.add_done_callback(_close)
            raise


def _close(done: Future[HTTPResponse]) -> None:
    if done.exception() is None:
        done.result().close()


def _begin(file: BinaryIO, transfer: _Transfer, response: HTTPResponse) -> tuple[int, int]:
    """Make the file fit what a response begins with; return the bytes there and in all."""
    size = os.fstat(file.fileno()).st_size
    if response.status == 206:
        match = re.fullmatch(
            r'bytes (\d{1,19})-\d+/(\d{1,19})', response.headers['Content-Range'] or ''
        )
        # Without a version nothing was asked for but the whole file.
        if not match or (int(match[1]), int(match[2])) != (size, transfer.version.get('size')):
            _start_over(file, transfer)
            raise _Broken(
                f'asked for bytes from {size}, the server sent Content-Range '
                f'{response.headers["Content-Range"]}'
            )
    else:  # the file from its beginning: nothing was here, or it has changed, or no ranges
        _start_over(file, transfer)
        size = 0
        length = response.headers['Content-Length'] or ''
        if not re.fullmatch(r'[1-9]\d{0,18}', length):
            raise DownloadError(
                f"{transfer.url}: Content-Length is '{length}': without it a "
                'half file cannot be told from a whole one'
            )
        transfer.version = {
            'url': transfer.url,
            'size': int(length),
            'validator': _validator(response.headers),
        }
    total = transfer.version['size']
    free = shutil.disk_usage(transfer.path.parent).free
    if free < total - size:
        raise DownloadError(
            f'{transfer.path.parent} has {free / 1e9:.2f} GB free; '
            f'{transfer.path.name} needs {(total - size) / 1e9:.2f} GB more'
        )
    with open(transfer.notes, 'w', opener=_own_file) as notes:
        json.dump(transfer.version, notes)
    return size, total


def _validator(headers: Message) -> str:
    """Return what If-Range takes: a strong ETag, else the date (RFC 9110, 13.1.5), else ''."""
    etag = headers['ETag'] or ''
    return etag if etag and not etag.startswith('W/') else headers['Last-Modified'] or ''


def _start_over(file: BinaryIO, transfer: _Transfer) -> None:
    file.truncate(0)
    transfer.digest = hashlib.sha256()


@contextmanager
def _cut_on_stop(response: HTTPResponse, check_stop: CheckStop) -> Iterator[None]:
    """End the connection as soon as check_stop() raises, even while nothing comes."""
    if response.isclosed():  # a body of no bytes
        yield
        return
    ended = threading.Event()
    with socket.socket(fileno=os.dup(response.fileno())) as connection:

        def watch() -> None:
            while not ended.wait(0.2):
                try:
                    check_stop()
                except Exception:  # the thread that reads raises it
                    with suppress(OSError):  # it is closed already
                        connection.shutdown(socket.SHUT_RDWR)
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
