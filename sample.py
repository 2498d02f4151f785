"""Draw from a trained run: ``python sample.py run=<run directory> [mode=…] [n_samples=64] [key=value …]``."""

from typing import Any

from ebm_exp.config.entry import Launch, run_entry_point


def main(config: dict[str, Any], launch: Launch) -> None:
    """Load what was trained, let the mode draw, and say and log what it left."""
    from ebm_exp.logger.console import Steps
    from ebm_exp.mode import Request, log_drawn
    from ebm_exp.run.loaded import LoadedRun, load_run
    from ebm_exp.sampler.base import describe_temperature

    if config["n_steps"] is not None:
        config["sampling"]["n_steps"] = config["n_steps"]
    chosen = {"weights": config["weights"], "checkpoint": config["checkpoint"]}
    run = LoadedRun(config["run"], config | {"seed": config["run_seed"]}, **chosen)
    others = tuple(load_run(path, config["trust"], config["device"], **chosen) for path in config["others"])
    mode = run.parts.construct("mode", config["mode"])
    run.parts["logger"]  # refuses its settings before anything is drawn
    with Steps() as steps:
        request = Request(config["n_samples"], config["seed"], launch.run_dir, config["label"], others, steps.update)
        drawn = mode(run, request)
    sampling, sampler = run.parts["sampling"], run.parts["sampler"]
    temperature = run.temperature if sampler.temperature is None else sampler.temperature
    print(
        f"{type(sampler).__name__}, {describe_temperature(sampler, temperature)}: {sampling.describe()}, "
        f"{config['weights']} weights of step {run.step:,}"
    )
    print("  ".join(f"{name} {value:.4g}" for name, value in drawn.metrics.items()))
    for name, path in drawn.files.items():
        print(f"{name:<12}{path}")
    for line in log_drawn(run, launch.run_dir, drawn):
        print(f"dashboard   {line}")


if __name__ == "__main__":
    run_entry_point(main, "sample")
