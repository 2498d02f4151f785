"""Draw from a trained run: ``python sample.py run=<run directory> [n_samples=64] [n_steps=…] [key=value …]``."""

from typing import Any

from ebm_exp.config.entry import Launch, run_entry_point


def main(config: dict[str, Any], launch: Launch) -> None:
    """Fresh chains: ``samples.npz`` (x ``[n, *event]``, energy ``[n]``, labels y ``[n]`` if any), a grid, a GIF."""
    import numpy as np
    import torch

    from ebm_exp.logger.plots import chain_gif, sample_grid
    from ebm_exp.run import LoadedRun

    for key in ("n_steps", "init"):
        if config[key] is not None:
            config["sampling"][key] = config[key]
    run = LoadedRun(
        config["run"], config | {"seed": config["run_seed"]}, weights=config["weights"], checkpoint=config["checkpoint"]
    )
    sampling, domain = run.parts["sampling"], run.parts["dataset"].domain
    frames: list[torch.Tensor] = []
    every = max(1, sampling.n_steps // config["n_frames"])

    def record(step: int, state: Any, info: Any) -> None:
        if step % every == 0 or step in (1, sampling.n_steps):
            frames.append(state.x[:64].cpu())

    samples = run.draw(config["n_samples"], config["seed"], record, config["label"])
    energy = run.energies(samples)
    folder = launch.run_dir
    x = samples.x.cpu().numpy().astype(np.float32)
    arrays: dict[str, Any] = {"x": x, "energy": energy.cpu().numpy().astype(np.float32)}
    if samples.y is not None:
        arrays["y"] = samples.y.cpu().numpy()
    np.savez(folder / "samples.npz", allow_pickle=False, **arrays)
    sample_grid(folder / "samples.png", samples.x, domain)
    chain_gif(folder / "chain.gif", torch.stack(frames), domain)
    print(
        f"{len(x)} chains of {sampling.n_steps} steps from {sampling.init}, {config['weights']} weights of step "
        f"{run.step:,}: mean energy {energy.mean():.4g}"
    )
    print(f"samples  {folder / 'samples.npz'}\ngrid     {folder / 'samples.png'}\nchain    {folder / 'chain.gif'}")


if __name__ == "__main__":
    run_entry_point(main, "sample")
