# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the files that people have call the tensors of the networks.

A layout is data: the rules that turn our names into those of the file, the names of the file that
nothing needs, and a tensor by which it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import re
from typing import Any

from torch import Tensor

WRAPPERS = ('module.', 'backbone.', '_orig_mod.')  # of DDP, Meta's training and torch.compile

Content = Mapping[str, Any]  # of a file or of one of its entries: names and tensors


@dataclass(frozen=True)
class Layout:
    """
    Names of one network's tensors in one kind of file.

    anchor: of its tensors, the one by which it is known; what is in front of it in a file is in
    front of all of them. rules: (pattern, replacements): our name becomes as many names as there
    are replacements, whose tensors are stacked along the first axis. ignored: pattern of names
    that are not needed.
    """

    name: str
    anchor: str
    rules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ignored: str = r'pos_embed'

    def names(self, key: str) -> list[str]:
        """Return what the file has for our key: one name, or several to be stacked."""
        names = [key]
        for pattern, replacements in self.rules:
            names = [re.sub(pattern, new, name) for name in names for new in replacements]
            names = list(dict.fromkeys(names))  # a rule that does not apply changes nothing
        return names


PLAIN = Layout('safetensors', 'patch_embed.proj.weight')
HUGGING_FACE = Layout(
    'huggingface',
    'encoder.embeddings.patch_embeddings.proj.weight',
    (
        (r'^patch_embed\.', ('encoder.embeddings.patch_embeddings.',)),
        (r'^blocks\.', ('encoder.layer.',)),
        (r'^norm\.', ('encoder.layernorm.',)),
        (r'\.attn\.proj\.', ('.attention.proj.',)),
        (r'\.attn\.qkv\.', ('.attention.query.', '.attention.key.', '.attention.value.')),
    ),
    r'(?!encoder\.)|encoder\.embeddings\.position_embeddings',
)
V_JEPA_2_1 = Layout(
    'meta',
    'patch_embed_img.proj.weight',
    ((r'^patch_embed\.', ('patch_embed_img.',)), (r'^norm\.', ('norms_block.3.',))),
    r'pos_embed|patch_embed\.|video_mod_embed|norms_block\.[012]\.',
)
PREDICTOR = Layout('safetensors', 'predictor_embed.weight', ignored='(?!)')
DECODER = Layout('jepa-wms', 'decoder_embed.weight', ignored='(?!)')
ENCODERS = {'2': (PLAIN, HUGGING_FACE), '2.1': (V_JEPA_2_1, PLAIN)}


@dataclass(frozen=True)
class Part:
    """
    The tensors of one network in a file, by their names without prefix, which is in front there.

    alone: nothing else is among them, so that each name must be known.
    """

    layout: Layout
    tensors: Content
    prefix: str
    alone: bool

    def pieces(self, key: str) -> list[Tensor]:
        """Return the tensors that, stacked along the first axis, are our key; KeyError if not."""
        return [self.tensors[name] for name in self.layout.names(key)]

    def unknown(self, keys: Iterable[str]) -> list[str]:
        """Return the names that none of our keys has and that are not known to be useless."""
        known = {name for key in keys for name in self.layout.names(key)}
        modules = {_first(name) for name in known}
        return [
            name
            for name in self.tensors
            if name not in known
            and not re.match(self.layout.ignored, name)
            and (self.alone or _first(name) in modules)
        ]


def find_part(
    content: Content,
    layouts: Iterable[Layout],
    entries: Sequence[str] = (),
    *,
    alone: bool = False,
) -> Part | None:
    """
    Return the network in content that has one of the layouts; None if there is none.

    :param entries: what may stand in front of its names, the best first; where nothing of it
        does, anything may.
    :param alone: content holds nothing but this network.
    """
    content = {_unwrapped(key): value for key, value in content.items()}
    for layout in layouts:
        prefixes = [
            key.removesuffix(layout.anchor)
            for key in content
            if key == layout.anchor or key.endswith('.' + layout.anchor)
        ]
        if prefixes:
            ranks = {f'{entry}.': rank for rank, entry in enumerate(entries)}
            prefix = min(prefixes, key=lambda prefix: (ranks.get(prefix, len(ranks)), len(prefix)))
            return Part(layout, _below(content, prefix), prefix, alone or bool(prefix))
    return None


def _unwrapped(key: object) -> str:
    """Return a name without what wrappers of modules add to it."""
    name = str(key)
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, '')
    return name


def _first(name: str) -> str:
    return name.partition('.')[0]


def _below(content: Content, prefix: str) -> Content:
    return {
        key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)
    }
