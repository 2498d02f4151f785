"""Train an energy-based model: ``python train.py [group=choice …] [key=value …]``; see README.md."""

from typing import Any

from ebm_exp.config.entry import Launch, run_entry_point


def main(config: dict[str, Any], launch: Launch) -> float | None:
    """One training run; returns the best value of ``optimized_metric`` for a sweep."""
    from ebm_exp.run.checkpoint import read_state
    from ebm_exp.run.directory import RunDirectory
    from ebm_exp.run.loaded import load_initial_weights
    from ebm_exp.trainer.build import build, check_data

    directory = RunDirectory(launch.run_dir)
    state = read_state(directory, key="resume") if config["resume"] else None
    parts, experiment = build(config, state)
    if state is not None:
        check_data(experiment.dataset, directory.summary().get("data", {}))
    if config["init_from"] and state is None:
        load_initial_weights(experiment.energy, config["init_from"])
    if state is None:
        directory.create()
    outcome = parts["trainer"].fit(parts, experiment, directory, parts["logger"], launch.group, state)
    return outcome.best["value"] if outcome.best else None


if __name__ == "__main__":
    run_entry_point(main, "train")
