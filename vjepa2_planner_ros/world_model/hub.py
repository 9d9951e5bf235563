# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Weights of the Hugging Face Hub: found in its cache on this machine, downloaded by its own package.

A name is ``hf:ORG/NAME``, a repository with weights in the layout of transformers, or
``hf:ORG/NAME/FILE``. The cache is that of huggingface_hub, which is only needed to download.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import re

from .download import CheckStop, Progress
from .errors import DownloadError, ModelLoadError, WeightsNotFoundError

SCHEME = 'hf:'
NAME = re.compile(r'([\w-][\w.-]*/[\w-][\w.-]*)(?:/([\w-][\w./-]*))?')
SINGLE, INDEX = 'model.safetensors', 'model.safetensors.index.json'


def default_hub_cache() -> Path:
    """Return the folder of huggingface_hub's cache, as its environment variables have it."""
    if folder := os.environ.get('HF_HUB_CACHE') or os.environ.get('HUGGINGFACE_HUB_CACHE'):
        return Path(folder).expanduser()
    home = os.environ.get('HF_HOME') or Path(
        os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'huggingface'
    )
    return Path(home).expanduser() / 'hub'


def split_name(name: str) -> tuple[str, str]:
    """Return (ORG/NAME, FILE or '') of a name; raise ModelLoadError if it is none."""
    match = NAME.fullmatch(name.removeprefix(SCHEME))
    if not match or '..' in name:
        raise ModelLoadError(
            f'checkpoint = {name!a:.100}: allowed: hf:ORG/NAME or hf:ORG/NAME/FILE'
        )
    return match[1], match[2] or ''


def find_in_hub_cache(name: str) -> tuple[Path, ...]:
    """Return the files of a name that the Hub's cache has, the newest; () if it has none."""
    repository, file = split_name(name)
    folder = default_hub_cache() / f'models--{repository.replace("/", "--")}'
    snapshots = sorted(
        folder.glob('snapshots/*'), key=lambda path: path.stat().st_mtime, reverse=True
    )
    try:
        main = folder / 'snapshots' / (folder / 'refs' / 'main').read_text().strip()
        snapshots.insert(0, main)
    except OSError:
        pass
    for snapshot in snapshots:
        paths = (snapshot / file,) if file else weights_in(snapshot)
        if paths and all(path.is_file() for path in paths):
            return paths
    return ()


def weights_in(folder: Path) -> tuple[Path, ...]:
    """Return the weights that transformers saved into a folder: one file, or shards; or ()."""
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    return shards(folder / INDEX) if (folder / INDEX).is_file() else ()


def shards(index: Path) -> tuple[Path, ...]:
    """Return the files that an index of shards names; raise ModelLoadError if it is none."""
    try:
        names = sorted(set(json.loads(index.read_text())['weight_map'].values()))
        if not names or any(Path(name).name != name for name in names):
            raise ValueError('it names nothing, or files outside its folder')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f'{index} is no index of shards: {error!r}') from error
    return tuple(index.with_name(name) for name in names)


def require_whole(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return paths; raise WeightsNotFoundError if some of them are not there."""
    if absent := [path.name for path in paths if not path.is_file()]:
        raise WeightsNotFoundError(f'{paths[0].parent} lacks {", ".join(absent)}')
    return paths


def download_from_hub(
    name: str, progress: Progress | None = None, check_stop: CheckStop = lambda: None
) -> tuple[Path, ...]:
    """
    Return the files of a name, downloaded by huggingface_hub unless its cache has them.

    :raise DownloadError: it is not installed or cannot download it; the text says what to do.
    """
    repository, file = split_name(name)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise DownloadError(
            f'{SCHEME}{repository} needs the package huggingface_hub: pip install huggingface_hub'
        ) from error
    wanted = [file] if file else ['*.safetensors', INDEX, 'config.json']
    stopped: list[BaseException] = []

    def stop() -> None:
        try:
            check_stop()
        except BaseException as error:
            stopped.append(error)
            raise

    stop()
    try:
        snapshot = snapshot_download(
            repository, allow_patterns=wanted, tqdm_class=_bar(progress, stop)
        )
    except Exception as error:  # of huggingface_hub, and of the clients that it uses
        if stopped:
            raise stopped[0] from None
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DownloadError(f'{SCHEME}{repository}: {reason}') from error
    paths = (Path(snapshot, file),) if file else weights_in(Path(snapshot))
    if not paths or not all(path.is_file() for path in paths):
        lacking = f'no {file}' if file else f'no {SINGLE}, nor what an {INDEX} names: name a file'
        raise DownloadError(f'{SCHEME}{repository} has {lacking}')
    return paths


def _bar(progress: Progress | None, stop: CheckStop) -> type:
    """Return the kind of progress bar that says how far it is, and ends it when it has to stop."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """Bytes of all files together."""

        def __init__(self, *args: object, **options: object):
            options.pop('name', None)  # of huggingface_hub's own bars
            super().__init__(*args, **{**options, 'disable': progress is not None})
            self.done, self.bytes = 0, options.get('unit') == 'B'

        def update(self, n: float | None = 1) -> bool | None:
            stop()
            self.done += int(n or 0)
            if progress is not None and self.bytes:
                progress('download', self.done, int(self.total or 0))
            return super().update(n)

    return Bar
