# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a file that is not the weights of a model probably is, and what to do then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re

from .layouts import Content

# First bytes of files: what they are.
BEGINNINGS = (
    (
        rb'version https://git-lfs',
        'it is a pointer of Git LFS, the file itself is missing: run git lfs pull',
    ),
    (
        rb'\s*<',
        'it is an HTML or XML page, probably the answer of a server: download the file again',
    ),
    (rb'\s*[{\[]', 'it is a JSON text: name the file of weights itself'),
    (rb'\x80[\x02-\x05]', 'it is a pickle or from before PyTorch 1.6: torch.save it again'),
    (rb'\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd', 'it is compressed: unpack it first'),
    (rb'\x93NUMPY', 'it is an array of NumPy'),
    (rb'\x89HDF', 'it is an HDF5 file, of another framework'),
    (rb'GGUF', 'it is a GGUF file: take the one of PyTorch'),
)

# Names of tensors or entries: what a file with them is. The first that is found counts.
NAMES = (
    (
        r'adaLN',
        'a JEPA-WM with AdaLN, which this package lacks; it has vjepa2_ac_droid of jepa-wms',
    ),
    (r'patch_embed_img\.', 'of V-JEPA 2.1: load it as vit-base-2.1, vit-large-2.1 and so on'),
    (r'ema_encoder$', 'of V-JEPA 2.1: load it as vit-base-2.1, vit-large-2.1 and so on'),
    (
        r'encoder\.layer\.\d+\.attention\.query',
        'of Hugging Face transformers, with an encoder alone: load it as vit-large, vit-huge, '
        'vit-giant or vit-giant-384',
    ),
    (r'mask_tokens', "an encoder's checkpoint, whose predictor fills masks and knows no actions"),
    (r'state_encoder\.', 'of V-JEPA 2-AC, with a state token: load it as vit-giant-ac'),
    (
        r'action_encoder\.',
        "jepa-wms' predictor without a state token: load it as vit-giant-ac-droid, from a folder "
        'that has vitg.pt too',
    ),
    (
        r'pytorch-lightning_version$',
        'a checkpoint of PyTorch Lightning: save the state_dict of its encoder and predictor as '
        "{'encoder': ..., 'predictor': ...}",
    ),
    (r'cls_token$|head\.|class_embedding', 'another vision transformer'),
    (r'(exp_avg|param_groups)', 'a state of an optimizer alone'),
)


def kind_of_file(path: Path) -> str:
    """Return what a file that begins like no weights is, as a clause for an error."""
    with open(path, 'rb') as file:
        head = file.read(64)
    if not head:
        return 'it is empty'
    for pattern, text in BEGINNINGS:
        if re.match(pattern, head):
            return text
    return f'it begins with {head[:8]!r}: download or copy it again'


def kind_of_content(content: Content) -> str:
    """Return '; probably it is ...' by the names in a file, or '' if they say nothing."""
    names = list(_names(content))
    for pattern, text in NAMES:
        if any(re.search(pattern, name) for name in names):
            return f'; probably it is {text}'
    return ''


def _names(content: Content) -> Iterator[str]:
    for key, value in content.items():
        yield str(key)
        if isinstance(value, dict):
            yield from map(str, value)
