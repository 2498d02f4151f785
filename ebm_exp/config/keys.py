"""What a key of the config is."""

import re

from ebm_exp.config.trust import CONF

GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")
# What may change when a run goes on: nothing that changes the mathematics.
RESUMABLE = re.compile(
    r"trainer\.(max_steps|max_minutes|\w+_every_steps)|logger\.\w+|guard\.\w+|notes|device|trust|hydra\..+"
    r"|[\w.]+\.(root|path|cache_dir|download)"
)
# What may change beside with attempt=next, which is recorded: buffer and optimizer go on.
CHANGEABLE = re.compile(
    r"seed|optimizer\.\w+|schedule\.\w+|sampler\.(step_size|noise_std|n_steps)|trainer\.gradient_norm_clip"
    r"|regularization\.\w+\.weight|buffer\.reinit_probability"
)
# Choices inside of others, by where they stand.
NESTED = {
    "sampling.start": "start",
    "buffer.start": "start",
    "objective.start": "start",
    "sampler.proposal": "start",
    "sampler.kernel": "sampler",
}
