"""Record what short runs of nearly every choice leave, to see that a change of structure changes no number.

    python -m tests.record before.json     # in a checkout of the old commit
    python -m tests.record after.json      # in the new one, with the same copy of this file
    python -m tests.record before.json after.json    # compare; the exit code is 1 if anything differs

Recorded are rows of metrics, summaries, scores, and digests of tensors, arrays and images; no times. On one machine,
CPU, one thread. It uses command lines and files of runs alone, so modules may move. It ends with what it leaves out.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import random
import runpy
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# What a run imports, once for all of them; none starts a thread, and a process with threads must not fork.
MODULES = "torch torch._dynamo torchvision hydra pydantic sklearn.datasets torchmetrics wandb matplotlib.pyplot"
LIMITS = (
    "trainer.max_steps=6 trainer.batch_size=16 trainer.log_every_steps=2 trainer.evaluate_every_steps=1000 "
    "trainer.image_every_steps=1000 trainer.checkpoint_every_steps=1000 trainer.image_samples=8 sampler.n_steps=3 "
    "sampling.n_steps=8 buffer.size=64 dataset.suggest.n_samples=32 dataset.suggest.widths=[16,16] "
    "guard.every_steps=2 guard.window_steps=2 guard.on_divergence=warn optimized_metric=null"
)
BITS = "dataset=binary_digits sampler=gibbs_with_gradients"
PLANE = "dataset.n_train=400 dataset.n_test=100"
COLOUR = "dataset=synthetic dataset.shape=[3,16,16] dataset.n_train=64 dataset.n_test=32 evaluator=none"
CHANNELS = "energy.channels=[8,8,8]"
FLOW = "energy.channels=[8,8,8,8] energy.width=16 energy.head_width=16 noise.times=uniform"
PAIR = "n_components=2"  # Gaussians of a mixture
CLASSES = "evaluator.classes.n=16 evaluator.classes.n_steps=2"
GRID = "evaluator.grid.n=60"
AIS = "evaluator.ais.n_chains=16 evaluator.ais.n_betas=8 evaluator.ais.n_equilibrate=16"

# By name; later ones go on with earlier ones. Each lies in the folder of its name, but for those that are resumed.
TRAININGS = {
    "digits": "start@buffer.start=normal augmentation=crop_flip schedule=constant optimized_metric=eval/frechet_pixels "
    "trainer.max_steps=30 trainer.evaluate_every_steps=10",
    "digits resumed": "resume=digits trainer.max_steps=45",
    "digits attempted": "resume=digits attempt=next trainer.max_steps=60 seed=7 optimizer.lr=1e-3",
    "images": "dataset=image_folder dataset.root=pictures dataset.size=8 energy=conv energy.channels=[8,16] "
    "energy.conditional=true buffer=reservoir start@sampling.start=mix schedule=cosine schedule.warmup_steps=2 "
    "evaluator=[frechet,memorization]",
    "table": "dataset=table dataset.path=points.csv dataset.label_column=label energy.conditional=true buffer=fifo "
    "optimizer=adamw evaluator=[mmd,manifold] trainer.evaluate_every_steps=3",
    "colour": f"{COLOUR} energy=multiscale_large energy.channels=[8,8,16] energy.blocks=1 energy.n_scales=2 "
    "energy.attention_after=1 augmentation=icd_celeba augmentation@data_augmentation=icd_cifar10 engine.precision=bf16",
    "du2019": f"experiment=du2019/cifar10 {COLOUR} energy=conv {CHANNELS} augmentation=icd_imagenet",
    "icd": "experiment=du2021/digits_small energy.channels=[8,8,16] objective.terms.entropy.bank_size=8 "
    "objective.terms.entropy.min_filled=20 objective.terms.kl.through_chains=8",
    "jem": f"energy=joint {CHANNELS} objective=jem regularization=gradient_penalty evaluator=none "
    "regularization.gradient_penalty.where=between trainer.accumulate_steps=2",
    "classification": f"energy=joint {CHANNELS} objective=classification regularization=spectral_norm engine=eager "
    f"evaluator=classes {CLASSES}",
    "static": f"experiment=flow/digits_static {FLOW} schedule.warmup_steps=2",
    "stay": f"experiment=flow/digits_stay init_from=static {FLOW}",
    "levels": f"energy=unet {CHANNELS} energy.width=16 energy.timed=true energy.conditional=true energy.no_label=true "
    "objective=flow_matching objective.label_dropping=0.1 sampling=levels sampling.n_levels=4 sampler=mala "
    "regularization=none optimizer=muon evaluator=kid evaluator.kid.subset_size=8",
    "digits_ml": f"experiment=digits_ml sampler.kernel.n_leapfrog=2 sampler.n_jumps=2 {AIS} energy.base.{PAIR} "
    f"sampler.proposal.{PAIR} buffer.start.{PAIR} evaluator.ais.start.{PAIR} evaluator.ais.kernel.proposal.{PAIR}",
    "bits": f"experiment=binary_digits energy=igebm_wide {CHANNELS} energy.blocks=1 evaluator=none",
    "ratio": f"{BITS} objective=ratio_matching objective.n_bits=4 energy=igebm {CHANNELS} evaluator=frechet",
    "pseudo": f"{BITS} objective=pseudo_likelihood debug=profile trainer.profile_steps=2",
    "flips": f"{BITS} objective=energy_discrepancy_binary objective.n_negatives=4 energy=igebm_large {CHANNELS}",
    "nce": f"experiment=plane/nce {PLANE} objective.start.{PAIR} start@sampler.proposal=independent {GRID}",
    "tilted": f"experiment=plane dataset=two_spirals {PLANE} energy=tilted energy.base.{PAIR} sampler.proposal.{PAIR} "
    f"optimized_metric=eval/kl {GRID}",
    "ring": f"dataset=rings {PLANE} energy=ring objective=energy_discrepancy sampler=hmc optimizer=sgd "
    f"schedule=staircase schedule.decay_steps=3 evaluator=[ais,grid] {GRID} {AIS}",
    "double_well": f"dataset=checkerboard {PLANE} energy=double_well objective=cd sampler=mala debug=overfit "
    "start@sampling.start=data evaluator=drift evaluator.drift.measure.n_samples=16",
    "funnel": f"dataset=pinwheel {PLANE} energy=funnel objective=short_run start@objective.start=mix "
    "sampler=underdamped evaluator=mmd",
    "gaussian": f"dataset=gaussian {PLANE} energy=gaussian sampler=tempering guard=none evaluator=chain_health",
    "mixture": f"dataset=eight_gaussians {PLANE} energy=mixture sampler=annealed evaluator=none",
    "diverging": f"dataset=swiss_roll {PLANE} optimizer.lr=30 trainer.gradient_norm_clip=null trainer.max_steps=40 "
    "trainer.checkpoint_every_steps=2 guard.on_divergence=rollback guard.max_rollbacks=2 evaluator=none",
    "stand-in": "debug=smoke dataset=image_folder dataset.root=nowhere dataset.size=8 evaluator=ood",
    "grid": "-m seed=1,2 evaluator=none",
    "search": "hparams_search=digits hydra.sweeper.n_trials=2 optimized_metric=eval/mmd2",
}
DRAWS = {
    "drawn": "run=digits start=mix checkpoint=best",
    "filmed": "run=images mode=chain label=[0,1] n_steps=12 sampler=hmc",
    "drifted": "run=digits mode=drift n_steps=2 weights=online",
    "denoised": "run=digits mode=denoise n_steps=4",
    "inpainted": "run=levels mode=inpaint mask=centre n_steps=8",
    "composed": "run=[nce,tilted] mode=compose mode.operation=mixture n_steps=4",
    "guided": "run=levels sampling=flow sampling.method=stochastic_heun sampling.guidance=2 label=3",
}
EVALUATIONS = {
    "scores": "run=images against=digits evaluator=[default,frechet,mmd,kid,manifold,memorization,classifier,"
    "inception_score,chain_health,drift,ood,classes] evaluator.kid.subset_size=8 evaluator.inception_score.splits=2 "
    f"evaluator.drift.measure.n_samples=16 evaluator.ood.n=16 {CLASSES} dataset.suggest.n_samples=32",
    "densities": f"run=nce evaluator=[grid,ais] {GRID} {AIS}",
}
KEYS = "state reason step best symptoms attempts protocol temperature data precision scores protocols failed"
OMISSIONS = {  # choices, or all of a group, by why
    "need a download": "dataset/celeba dataset/cifar10 dataset/cifar100 dataset/fashion_mnist dataset/kmnist "
    "dataset/mnist dataset/svhn evaluator/fid",
    "have what other choices have": "experiment hparams_search hydra/sweeper/search",
    "need an extra or an account": "hydra/launcher logger wandb_sweep",
}


def record(out: Path) -> None:
    """Run all, one after the other, in a folder that is removed, and write what they left."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
    for name in [name for name in os.environ if name.startswith(("WANDB_", "HYDRA_", "EBM_"))]:
        del os.environ[name]
    for name in MODULES.split():
        importlib.import_module(name)
    recorded = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_data()
        for script, commands in {"train.py": TRAININGS, "sample.py": DRAWS, "evaluate.py": EVALUATIONS}.items():
            for name, command in commands.items():
                began = time.perf_counter()
                recorded[name] = run(script, name, command.split())
                print(f"{name:<18}{time.perf_counter() - began:5.1f} s{len(recorded[name]):7,} values", flush=True)
        tell_coverage(Path(folder))
    out.write_text(json.dumps(recorded, indent=1) + "\n")


def write_data() -> None:
    """Write a table and a folder of images, always the same."""
    from PIL import Image

    numbers = random.Random(0)
    rows = [f"{numbers.gauss(0, 1)},{numbers.gauss(1, 2)},{numbers.randrange(2)}\n" for _ in range(80)]
    Path("points.csv").write_text("a,b,label\n" + "".join(rows))
    for i in range(60):
        file = Path("pictures", "train" if i < 40 else "test", "light" if i % 2 else "dark", f"{i}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("L", (8, 8), bytes(numbers.randrange(128) + i % 2 * 127 for _ in range(64))).save(file)


def run(script: str, name: str, typed: list[str]) -> dict[str, Any]:
    """Run a command in a child and return the values that it left; a failure ends all, but for a divergence."""
    arguments = ["device=cpu", "logger.mode=disabled", *typed]
    folder, log = name, Path(f"{name}.log")
    if typed[0].startswith("resume="):
        folder = typed[0].partition("=")[2]
    elif script == "train.py":
        place = "sweep" if typed[0].startswith(("-m", "hparams_search=")) else "run"
        arguments = [*LIMITS.split(), *arguments, f"hydra.{place}.dir={folder}"]
    else:
        arguments.append(f"output_dir={folder}")
    child = multiprocessing.get_context("fork").Process(target=become, args=(script, arguments, log))
    child.start()
    child.join()
    if child.exitcode not in (0, 3):
        raise SystemExit(f"{name} ended with {child.exitcode}: {script} {' '.join(arguments)}\n{log.read_text()}")
    left = {str(file.relative_to(folder)): read(file) for file in sorted(Path(folder).rglob("*"))}
    return dict(flatten("", {"exit code": child.exitcode} | left))


def become(script: str, arguments: list[str], log: Path) -> None:
    """Be the script from here on, as a process that was started with it, its output in a file."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv, sys.path[0] = [script, *arguments], str(ROOT)
    runpy.run_path(str(ROOT / script), run_name="__main__")


def read(file: Path) -> Any:
    """Return what counts of a file, in containers; of most files that is nothing."""
    if file.name == "metrics.jsonl":
        by_step: dict[int, dict[str, Any]] = {}  # a step's scores may stand in a row of their own
        for row in map(json.loads, file.read_text().splitlines()):
            by_step[row["step"]] = by_step.get(row["step"], {}) | row
        return by_step
    if file.name in ("summary.json", "evaluation.json", "diagnostics.json"):
        content = json.loads(file.read_text()).items()
        return {key: value for key, value in content if key in KEYS.split() or file.stem == "diagnostics"}
    if file.suffix in (".pt", ".npz"):
        import numpy as np
        import torch

        return torch.load(file, weights_only=True) if file.suffix == ".pt" else dict(np.load(file))
    return file.read_bytes() if file.suffix in (".png", ".gif") else {}


def flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Name the values inside of containers by where they stand, but times; of tensors, arrays and bytes a digest."""
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key != "elapsed" and not str(key).startswith("time/"):
                yield from flatten(f"{path} {key}".strip(), item)
    elif hasattr(value, "dtype"):
        array = value.numpy() if hasattr(value, "numpy") else value
        yield path, f"{array.dtype}{[*array.shape]} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    else:
        yield path, hashlib.sha256(value).hexdigest()[:16] if isinstance(value, bytes) else value


def tell_coverage(folder: Path) -> None:
    """Print which choices of conf/ no run in a folder has: those that are left out, and those that are missing."""
    import yaml

    had = set()
    for file in folder.rglob(".hydra/hydra.yaml"):
        hydra = yaml.safe_load(file.read_text())["hydra"]
        lists = [argument.split("=", 1) for argument in hydra["overrides"]["task"] if "=[" in argument]
        for group, names in [*hydra["runtime"]["choices"].items(), *lists]:
            had |= {f"{group.partition('@')[0]}/{name}" for name in str(names).strip("[]").split(",")}
    files = [file.relative_to(ROOT / "conf").with_suffix("") for file in (ROOT / "conf").glob("*/**/*.yaml")]
    choices = {str(file): {str(file), *map(str, file.parents)} for file in files if "shared" not in file.parts}
    left = {choice: within for choice, within in sorted(choices.items()) if choice not in had}
    print(f"\n{len(choices) - len(left)} of {len(choices)} choices are recorded")
    for reason, names in OMISSIONS.items():
        print(f"These {reason}: {', '.join(choice for choice in left if left[choice] & {*names.split()})}")
        left = {choice: within for choice, within in left.items() if not within & {*names.split()}}
    print(f"MISSING: {', '.join(left) or 'none'}")


def compare(before: Path, after: Path) -> bool:
    """Print, run by run, what differs or is on one side only; returns whether all is equal."""
    old, new = (json.loads(path.read_text(), parse_constant=str) for path in (before, after))
    equal = True
    for name in dict.fromkeys((*old, *new)):
        a, b = old.get(name, {}), new.get(name, {})
        differing = [key for key in dict.fromkeys((*a, *b)) if a.get(key, "absent") != b.get(key, "absent")]
        count = f"{len(a):,} values, {len(differing) or 'none'} differ"
        print(f"{name}: {count if a and b else f'in {(before if a else after).name} alone'}")
        for key in differing if a and b else ():
            x, y = a.get(key, "absent"), b.get(key, "absent")
            numbers = isinstance(x, int | float) and isinstance(y, int | float)
            change = f", relative change {abs(y - x) / max(abs(x), 1e-300):.1e}" if numbers else ""
            print(f"    {key}: {x} → {y}{change}")
        equal = equal and not differing
    return equal


if __name__ == "__main__":
    paths = [Path(argument).resolve() for argument in sys.argv[1:]]
    sys.exit(record(*paths) if len(paths) == 1 else not compare(*paths))
