# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The folder of downloaded weights, by default that of torch.hub.

What a file there was when it was first seen (size, SHA-256) is kept beside it as ``NAME.pt.json``
and checked from then on. Files that users name themselves are never recorded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch

from .catalogue import ModelSpec
from .checkpoints import read_checkpoint
from .download import CheckStop, CHUNK, download, Progress
from .errors import DownloadError, ModelLoadError, WeightsNotFoundError

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return torch.hub's folder of checkpoints; TORCH_HOME moves it."""
    return Path(torch.hub.get_dir()) / 'checkpoints'


def cached_path(spec: ModelSpec, cache: str | Path | None = None) -> Path | None:
    """Return where the cache has, or would have, a model's weights; None if they are shipped."""
    if spec.url is None:
        return None
    return Path(cache or default_cache()) / spec.url.rpartition('/')[2]


def find_weights(
    spec: ModelSpec, checkpoint: str | Path | None = None, cache: str | Path | None = None
) -> Path:
    """
    Return the file of a model's weights: the one named, the packaged one or that of the cache.

    :raise WeightsNotFoundError: there is none; the text says how to get it.
    """
    path = Path(checkpoint) if checkpoint else spec.weights or cached_path(spec, cache)
    try:
        if path is not None and path.is_file():
            return path
    except (OSError, ValueError) as error:  # too long, or a null byte
        raise WeightsNotFoundError(
            f'checkpoint = {str(path)!a:.100}: allowed: the path of a file; {type(error).__name__}'
        ) from error
    if checkpoint or path is None or not spec.url:
        raise WeightsNotFoundError(f"model '{spec.name}' has no weights at {path}")
    raise WeightsNotFoundError(
        f"model '{spec.name}' is not on this machine: get it with 'models download {spec.name}', "
        f"put {path.name} into {path.parent} or name a file of it in 'checkpoint'"
    )


def download_weights(
    spec: ModelSpec,
    cache: str | Path | None = None,
    *,
    progress: Progress | None = None,
    check_stop: CheckStop = lambda: None,
    **options: Any,
) -> Path:
    """
    Return the file of a model's weights, downloaded if the cache has none.

    The arguments are those of download.download. The file gets its name only if it is a whole
    checkpoint of such a model, and the one that was there before, if any.
    """
    path = cached_path(spec, cache)
    if path is None or spec.url is None:
        return find_weights(spec)
    if path.is_file():
        verify(path, progress=progress, check_stop=check_stop)
        return path

    def check(complete: Path, digest: str) -> None:
        try:
            read_checkpoint(complete, spec.checkpoint_entries)
        except ModelLoadError as error:
            raise DownloadError(
                f'{spec.url}: the server sent no whole checkpoint: {error}'
            ) from error
        _compare_or_record(path, complete.stat(), digest)

    return download(
        spec.url, path, check=check, progress=progress, check_stop=check_stop, **options
    )


def verify(
    path: Path,
    *,
    thorough: bool = False,
    progress: Progress | None = None,
    check_stop: CheckStop = lambda: None,
) -> None:
    """
    Compare a file of the cache with what it was when first seen; raise ModelLoadError if changed.

    Its content is read at first sight, if its time has changed, and if thorough.
    """
    status, known = path.stat(), _read_record(path)
    unchanged = (known.get('size'), known.get('mtime_ns')) == (status.st_size, status.st_mtime_ns)
    if unchanged and not thorough:
        return
    digest, done = hashlib.sha256(), 0
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            check_stop()
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress('verify', done, status.st_size)
    _compare_or_record(path, status, digest.hexdigest())


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + '.json')


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(_record_path(path).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _compare_or_record(path: Path, status: os.stat_result, digest: str) -> None:
    """Raise ModelLoadError if a file is not the one first seen under its name, else note it."""
    known = _read_record(path)
    if known.get('sha256', digest) != digest:
        raise ModelLoadError(
            f'{path} is not what it was when first seen: {status.st_size} bytes with SHA-256 '
            f'{digest}, it had {known.get("size")} bytes with {known["sha256"]}. Delete the file '
            f'to download it anew, or {_record_path(path)} if it was replaced on purpose'
        )
    record = {'size': status.st_size, 'mtime_ns': status.st_mtime_ns, 'sha256': digest}
    if known != record:
        partial = path.with_name(path.name + '.json.partial')
        try:
            partial.write_text(json.dumps(record))
            partial.replace(_record_path(path))
        except OSError as error:  # a cache that is shared and read-only is a cache too
            log.warning('%s cannot be recorded: %s', path, error)
