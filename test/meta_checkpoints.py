# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write checkpoints laid out as Meta's: random weights among all that training saves.

Full-size ones show what loading takes, in a process of its own for each dtype:

    scripts/run python test/meta_checkpoints.py vit-giant-ac /tmp/vjepa2-ac-vitg.pt
    scripts/run python -m vjepa2_planner_ros.cli.models load-check vit-giant-ac \
        --checkpoint /tmp/vjepa2-ac-vitg.pt --dtype bfloat16
"""

import sys

import numpy as np
import torch
from vjepa2_planner_ros.world_model import build_networks, model_spec


def meta_content(encoder, predictor, target_encoder=None, moments=()):
    """
    Return what Meta's training code saves of three state dicts with the keys of its modules.

    A target_encoder of None is left out; moments are tensors of the optimizer's state.
    """
    content = {
        'encoder': {**_wrapped(encoder), 'module.backbone.pos_embed': torch.zeros(1, 16, 48)},
        'predictor': {f'module.{key}': tensor for key, tensor in predictor.items()},
        'opt': {
            'state': {
                i: {'step': torch.tensor(9.0), 'exp_avg': moment}
                for i, moment in enumerate(moments)
            },
            'param_groups': [{'lr': 0.1, 'params': list(range(len(moments)))}],
        },
        'scaler': None,
        'epoch': 3,
        'loss': 0.5,
        'batch_size': 8,
        'world_size': 1,
        'lr': 0.1,
    }
    if target_encoder is not None:
        content['target_encoder'] = _wrapped(target_encoder)
    return content


def _wrapped(state_dict):
    return {f'module.backbone.{key}': tensor for key, tensor in state_dict.items()}


def random_content(spec):
    """Return what Meta would save of a model in float32, with random weights."""
    encoder, predictor = (_random(module) for module in build_networks(spec, device='meta'))
    other = _zeros(encoder)  # there, as big as in the real files, and of no use
    if spec.predictor is None:
        return meta_content(other, {'backbone.mask_tokens.0': torch.zeros(1, 1, 384)}, encoder)
    moments = [*_zeros(predictor).values(), *_zeros(predictor).values()]
    return meta_content(encoder, predictor, other, moments)


def _random(module):
    if module is None:
        return {}
    return {
        key: torch.randn(tensor.shape).mul_(0.02) for key, tensor in module.state_dict().items()
    }


def _zeros(state_dict):
    """Return as many zeros, which take no memory until somebody writes to them."""
    return {
        key: torch.from_numpy(np.zeros(tensor.shape, np.float32))
        for key, tensor in state_dict.items()
    }


if __name__ == '__main__':
    name, path = sys.argv[1:]
    torch.save(random_content(model_spec(name)), path)
