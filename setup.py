# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Install the package the ament_python way."""

from glob import glob

from setuptools import find_packages, setup

NAME = 'vjepa2_planner_ros'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, NAME + '.*']),  # not vjepa2_interfaces
    package_data={NAME: ['weights/*.*', 'web/static/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + NAME]),
        ('share/' + NAME, ['package.xml', 'NOTICE']),
        ('share/' + NAME + '/launch', sorted(glob('launch/*.launch.py'))),
        ('share/' + NAME + '/config', sorted(glob('config/*.*'))),
        ('share/' + NAME + '/config/robots', sorted(glob('config/robots/*.yaml'))),
        ('share/' + NAME + '/config/security', ['config/security/policy.xml']),
    ],
    python_requires='>=3.10',
    # Formats of recordings that not everybody has: pip install .[lerobot,hdf5]
    extras_require={'lerobot': ['pyarrow', 'av'], 'hdf5': ['h5py', 'av']},
    zip_safe=False,
    maintainer='The vjepa2_planner_ros authors',
    maintainer_email='maintainers@vjepa2-planner-ros.example',
    description='Plans robot motion from a picture of the goal with V-JEPA 2 world models.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'planner_node = vjepa2_planner_ros.nodes.programs:planner_node',
            'controller_node = vjepa2_planner_ros.nodes.programs:controller_node',
            'simulation_node = vjepa2_planner_ros.nodes.programs:simulation_node',
            'plan = vjepa2_planner_ros.cli.plan:main',
            'reach = vjepa2_planner_ros.cli.reach:main',
            'history = vjepa2_planner_ros.cli.history:main',
            'demo = vjepa2_planner_ros.cli.demo:main',
            'landscape = vjepa2_planner_ros.cli.landscape:main',
            'models = vjepa2_planner_ros.cli.models:main',
            'encode = vjepa2_planner_ros.cli.encode:main',
            'energy = vjepa2_planner_ros.cli.energy:main',
            'web = vjepa2_planner_ros.cli.web:main',
            'doctor = vjepa2_planner_ros.cli.doctor:main',
            'validate = vjepa2_planner_ros.cli.validate:main',
            'calibrate = vjepa2_planner_ros.cli.calibrate:main',
        ]
    },
)
