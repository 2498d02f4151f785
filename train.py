"""Train an energy-based model: ``python train.py [group=choice …] [key=value …]``; see README.md."""

from typing import Any

from ebm_exp.config.entry import Launch, run_entry_point


def main(config: dict[str, Any], launch: Launch) -> float | None:
    """One training run; returns the best value of ``optimized_metric`` for a sweep."""
    from ebm_exp.config.build import Parts
    from ebm_exp.run import Run, initial_weights

    run, state = Run(launch.run_dir), None
    parts = Parts(config, run_dir=launch.run_dir, group=launch.group)
    if config["resume"]:
        state = run.state(key="resume")
    elif config["init_from"]:
        initial_weights(parts["energy"], config["init_from"])
    trainer = parts["trainer"]
    if state is None:
        run.create()
    return trainer.fit(config, state)


if __name__ == "__main__":
    run_entry_point(main, "train")
