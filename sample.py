"""Draw from a trained run: ``python sample.py run=<run directory> [mode=…] [n_samples=64] [key=value …]``."""

from typing import Any

from ebm_exp.config.entry import Launch, run_entry_point


def main(config: dict[str, Any], launch: Launch) -> None:
    """Load what was trained, let the mode draw, and say and log what it left."""
    from ebm_exp.logger.console import Steps
    from ebm_exp.mode import Request
    from ebm_exp.run import LoadedRun, load_run

    for key in ("n_steps", "init"):
        if config[key] is not None:
            config["sampling"][key] = config[key]
    chosen = {"weights": config["weights"], "checkpoint": config["checkpoint"]}
    run = LoadedRun(config["run"], config | {"seed": config["run_seed"]}, **chosen)
    others = tuple(load_run(path, config["trust"], config["device"], **chosen) for path in config["others"])
    mode = run.parts.construct("mode", config["mode"])
    with Steps() as steps:
        outcome = mode(
            run, Request(config["n_samples"], config["seed"], launch.run_dir, config["label"], others, steps.update)
        )
    sampling, sampler = run.parts["sampling"], run.parts["sampler"]
    kind = "T" if sampler.exact else "effective temperature (approximate: clamped)"
    print(
        f"{type(sampler).__name__}, {kind} {sampler.temperature:.3g}: chains of {sampling.n_steps:,} steps from "
        f"{sampling.init}, {config['weights']} weights of step {run.step:,}"
    )
    print("  ".join(f"{name} {value:.4g}" for name, value in outcome.metrics.items()))
    for name, path in outcome.files.items():
        print(f"{name:<12}{path}")
    images = {name: path for name, path in outcome.files.items() if path.suffix in (".png", ".gif")}
    for line in run.log_drawing(launch.run_dir, outcome.metrics, images):
        print(f"dashboard   {line}")


if __name__ == "__main__":
    run_entry_point(main, "sample")
