# The demo: a simulated arm driven to goal pictures, on a CPU.
#
#     docker build -t vjepa2_planner_ros .
#     docker run --rm vjepa2_planner_ros                 # scripts/demo
#     docker run --rm vjepa2_planner_ros --episodes 3    # its options: --help
#     docker run --rm --entrypoint ./scripts/run vjepa2_planner_ros models list
#
# --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU wheels> saves 3 GB of CUDA libraries.
FROM ubuntu:24.04

# What scripts/setup asks for: Python, a compiler for the interfaces, OpenGL without a screen.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        cmake g++ make libegl1 libgl1 python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Not root; the account owns the checkout, as scripts/setup and scripts/demo write into it.
RUN useradd --create-home planner
WORKDIR /home/planner/vjepa2_planner_ros
RUN chown planner:planner .
# hadolint ignore=DL3066
USER planner
COPY --chown=planner:planner . .

ARG PIP_EXTRA_INDEX_URL=
RUN PIP_NO_CACHE_DIR=1 scripts/setup

ENTRYPOINT ["./scripts/demo"]
