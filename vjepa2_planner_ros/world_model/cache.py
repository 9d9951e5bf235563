# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the weights of a model are: named by the user, packaged, or in the folder of downloads.

That folder is torch.hub's by default. What a file there was when it was first seen (size,
SHA-256) is kept beside it as ``NAME.pt.json`` and checked from then on. Files that users name
themselves are never recorded.
"""

from __future__ import annotations

from functools import partial
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch

from .catalogue import ModelSpec, WeightsFile
from .checkpoints import read_checkpoint, read_decoder, Source
from .download import CheckStop, CHUNK, download, Progress
from .errors import DownloadError, ModelLoadError, WeightsNotFoundError, WorldModelError
from .hub import (
    default_hub_cache,
    download_from_hub,
    find_in_hub_cache,
    require_whole,
    SCHEME,
    shards,
    SINGLE,
    weights_in,
)

log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return torch.hub's folder of checkpoints; TORCH_HOME moves it."""
    return Path(torch.hub.get_dir()) / 'checkpoints'


def find_weights(
    spec: ModelSpec, checkpoint: str | Path | None = None, cache: str | Path | None = None
) -> tuple[Source, ...]:
    """
    Return the files of a model's weights: those named, the packaged one or those downloaded.

    :param checkpoint: a file, a folder of them, an index of shards, or hf:ORG/NAME[/FILE], which
        is looked for in the Hub's cache.
    :param cache: folder of downloaded weights; None is torch.hub's. What it lacks is looked for in
        the Hub's cache, too.
    :raise WeightsNotFoundError: there are none; the text says how to get them.
    """
    try:
        if checkpoint:
            return _named(spec, str(checkpoint), cache)
        if spec.weights is not None and spec.weights.is_file():
            return (Source((spec.weights,), spec.parts),)
        found, missing = _look_up(spec, cache)
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, an unknown ~user
        if isinstance(error, WorldModelError):
            raise
        raise WeightsNotFoundError(
            f'checkpoint = {str(checkpoint)!a:.100}: allowed: the path of a file; '
            f'{type(error).__name__}'
        ) from error
    if found and not missing:
        return found
    if not spec.files:
        raise WeightsNotFoundError(f"model '{spec.name}' has no weights at {spec.weights}")
    names = ' and '.join(file.name for file in missing)
    raise WeightsNotFoundError(
        f"model '{spec.name}' is not on this machine: get it with 'models download {spec.name}', "
        f"put {names} into {_folder(cache)} or name a file or folder of it in 'checkpoint'"
    )


def find_decoder(spec: ModelSpec, cache: str | Path | None = None) -> Path | None:
    """Return the file of the decoder of the catalogue's weights; None where there is none here."""
    if isinstance(spec.decoder, WeightsFile):
        places = [_folder(cache) / name for name in _names(spec.decoder)]
        places += find_in_hub_cache(spec.decoder.hub)
    else:
        places = [] if spec.decoder is None else [spec.decoder]
    return next((path for path in places if path.is_file()), None)


def missing_files(spec: ModelSpec, cache: str | Path | None = None) -> list[str]:
    """Return the addresses of what has to be downloaded before a model can be loaded."""
    if spec.weights is not None:
        return [] if spec.weights.is_file() else [str(spec.weights)]
    return [file.url for file in _look_up(spec, cache)[1]]


def _named(spec: ModelSpec, checkpoint: str, cache: str | Path | None) -> tuple[Source, ...]:
    """Return the files that a user named."""
    if checkpoint.startswith(SCHEME):
        if paths := find_in_hub_cache(checkpoint):
            return _beside(spec, paths, cache)
        raise WeightsNotFoundError(
            f"checkpoint = {checkpoint!a:.100} is not in the Hub's cache {default_hub_cache()}: "
            f"get it with 'models download {checkpoint:.100}'"
        )
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        if paths := weights_in(path):
            return (Source(require_whole(paths), spec.parts),)
        found, missing = _look_up(spec, cache, path)
        if not missing and any(source.paths[0].parent == path for source in found):
            return found
        names = ' and '.join(file.name for file in spec.files) or 'a file for this model'
        raise WeightsNotFoundError(f'{path} has neither {names} nor {SINGLE}: name a file')
    if not path.is_file():
        raise WeightsNotFoundError(f"model '{spec.name}' has no weights at {checkpoint}")
    if path.name.endswith('.index.json'):
        return (Source(require_whole(shards(path)), spec.parts),)
    return _beside(spec, (path,), cache)


def _beside(
    spec: ModelSpec, paths: tuple[Path, ...], cache: str | Path | None
) -> tuple[Source, ...]:
    """Return what belongs to named files: a model of two files has the other one there too."""
    if len(spec.files) > 1 and any(paths[0].name in _names(file) for file in spec.files):
        found, missing = _look_up(spec, cache, paths[0].parent)
        if missing:
            names = ' and '.join(file.name for file in missing)
            raise WeightsNotFoundError(
                f"model '{spec.name}' needs {names} too: put it beside {paths[0]}, or get it with "
                f"'models download {spec.name}'"
            )
        return found
    return (Source(paths, spec.parts),)


def _look_up(
    spec: ModelSpec, cache: str | Path | None, first: Path | None = None
) -> tuple[tuple[Source, ...], list[WeightsFile]]:
    """Return what of a model is in a folder, the cache and the Hub's, and what is not."""
    found, missing = [], []
    for file in spec.files:
        parts = tuple(part for part in spec.parts if getattr(file, part))
        places = [
            (folder / name, folder != first)
            for folder in (first, _folder(cache))
            if folder is not None
            for name in _names(file)
        ]
        for path, recorded in places:
            if path.is_file():
                found.append(Source((path,), parts, recorded))
                break
        else:
            if file.hub and (paths := find_in_hub_cache(file.hub)):
                found.append(Source(paths, parts))
            else:
                missing.append(file)
    return tuple(found), missing


def _names(file: WeightsFile) -> list[str]:
    """Return the names that people have a file under."""
    return [file.name, *([Path(file.hub).name] if file.hub.count('/') > 1 else [])]


def _folder(cache: str | Path | None) -> Path:
    return Path(cache).expanduser() if cache else default_cache()


def download_weights(
    spec: ModelSpec,
    cache: str | Path | None = None,
    *,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    check_stop: CheckStop = lambda: None,
    **options: Any,
) -> tuple[Source, ...]:
    """
    Return the files of a model's weights, downloaded where they are missing.

    The other arguments are those of download.download. A file gets its name only if it is a whole
    checkpoint of such a model, and the one that was there before, if any.

    :param checkpoint: hf:ORG/NAME[/FILE], which huggingface_hub downloads, or what is here.
    """
    if checkpoint:
        if str(checkpoint).startswith(SCHEME):
            download_from_hub(str(checkpoint), progress, check_stop)
        return find_weights(spec, checkpoint, cache)
    found, missing = _look_up(spec, cache)
    for source in found:
        if source.recorded:
            verify(source.paths[0], progress=progress, check_stop=check_stop)
    for file in missing:
        path = _folder(cache) / file.name
        check = partial(_check_download, spec, file, path)
        download(file.url, path, check=check, progress=progress, check_stop=check_stop, **options)
    return find_weights(spec, cache=cache)


def download_decoder(
    spec: ModelSpec,
    cache: str | Path | None = None,
    *,
    progress: Progress | None = None,
    check_stop: CheckStop = lambda: None,
) -> Path:
    """Return the file of a model's decoder, downloaded if it is missing; as download_weights."""
    if (found := find_decoder(spec, cache)) is not None:
        return found
    if not isinstance(spec.decoder, WeightsFile):
        raise WeightsNotFoundError(f"model '{spec.name}' has no decoder that can be downloaded")
    path = _folder(cache) / spec.decoder.name
    check = partial(_check_download, spec, spec.decoder, path)
    return download(spec.decoder.url, path, check=check, progress=progress, check_stop=check_stop)


def _check_download(
    spec: ModelSpec, file: WeightsFile, path: Path, complete: Path, digest: str
) -> None:
    """Raise unless what came for a path is a whole checkpoint, and the one first seen there."""
    try:
        if file is spec.decoder:
            read_decoder(Source((complete,), ('decoder',)))
        else:
            parts = tuple(part for part in spec.parts if getattr(file, part))
            read_checkpoint([Source((complete,), parts)], spec)
    except ModelLoadError as error:
        raise DownloadError(f'{file.url}: the server sent no whole checkpoint: {error}') from error
    _compare_or_record(path, complete.stat(), digest)


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
        written = path.with_name(path.name + '.json.partial')
        try:
            written.write_text(json.dumps(record))
            written.replace(_record_path(path))
        except OSError as error:  # a cache that is shared and read-only is a cache too
            log.warning('%s cannot be recorded: %s', path, error)
