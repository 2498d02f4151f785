"""What an attempt changed stands in the run's record, which is data."""

from pathlib import Path

from ebm_exp.run import attempt
from ebm_exp.run.directory import RunDirectory


def test_of_the_record_count_only_numbers_that_an_attempt_may_change(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    changed = {
        "optimizer.lr": [0.1, 0.05],
        "optimizer._target_": ["torch.optim.SGD", "os.system"],
        "energy._target_": ["x", "os.system"],
        "trainer.max_steps": [1, 2],
    }
    run.write_summary({"attempts": [{"attempt": 1, "step": 5, "why": "gap", "changed": changed}]})
    config = {"optimizer": {"lr": 0.1, "_target_": "a"}, "energy": {"_target_": "b"}, "trainer": {"max_steps": 1}}
    expected = config | {"optimizer": {"lr": 0.05, "_target_": "a"}, "attempt": 1}
    assert attempt.in_force(run, config) == expected
    assert attempt.in_force(run, config | {"attempt": 1}) == config | {"attempt": 1}
    assert config["optimizer"] == {"lr": 0.1, "_target_": "a"}
