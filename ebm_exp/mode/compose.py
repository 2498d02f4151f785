"""Several runs as one density: products, mixtures, negations (see ``energy/compose.py``)."""

from collections.abc import Callable
from typing import Literal

from ebm_exp.config.errors import UserError
from ebm_exp.energy import Energy
from ebm_exp.energy.compose import MixtureOfEnergies, Product
from ebm_exp.evaluator.grid import log_z
from ebm_exp.mode.base import Drawn, Mode, Request, densities_of, save
from ebm_exp.plane import heat_maps
from ebm_exp.plots import sample_panels
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampling import Chains, Levels
from ebm_exp.types import EnergyFn, Finite

CELLS = 600  # per side, where log Z is by quadrature


class Compose(Mode):
    """``compose.png``: in the plane the density of each run, of the composition and its chains; else their images.

    The first run gives box, sampler and temperature.

    Args:
        operation: ``product`` Π p_i^w_i; ``mixture`` Σ w_i p_i; ``negation`` p_1^w_1 / Π p_i^w_i over the others.
        coefficients: w_i, one for each run; null: all one, and for a negation ½ for those that are negated.
        log_z: of each run, for a mixture; null: by quadrature in the plane. Elsewhere they must be given: two
            energies do not say how much mass each of them has.
    """

    def __init__(
        self,
        operation: Literal["product", "mixture", "negation"] = "product",
        coefficients: tuple[Finite, ...] | None = None,
        log_z: tuple[Finite, ...] | None = None,
    ) -> None:
        self.operation = operation
        self.coefficients = coefficients
        self.log_z = log_z

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        runs = (run, *request.others)
        sampling = densities_of(run)
        if self.operation == "mixture" and isinstance(sampling, Levels):
            raise UserError("sampling: levels knows no masses between data and noise, a mixture needs sampling=chains")
        dataset, temperature = run.parts["dataset"], run.temperature
        for other in request.others:
            if other.parts["dataset"].event_shape != dataset.event_shape:
                shape = other.parts["dataset"].event_shape
                raise UserError(
                    f"run: all must have points of one shape, {run.path} has {[*dataset.event_shape]}, "
                    f"{other.path} {[*shape]}"
                )
        target = self.energy(runs, temperature)
        moving = target if isinstance(sampling, Chains) else self.energy(runs, temperature, sampling.moved_by)

        samples = run.draw(request.n, request.seed, watch=request.watch, label=request.label, energy=moving)
        image = request.folder / "compose.png"
        names = [each.parts["dataset"].name for each in runs]
        metrics = {}
        if dataset.event_shape == (2,) and not target.context:
            temperatures = [each.temperature for each in runs]
            energies: dict[str, tuple[EnergyFn, float]] = {
                name: (r.energy.of_data(), t) for name, r, t in zip(_tell_apart(names), runs, temperatures, strict=True)
            }
            heat_maps(image, energies | {self.operation: (target, temperature)}, dataset.units, samples.x)
            metrics["log_z"] = float(log_z(target, dataset, temperature, CELLS))
        else:
            panels = {name: r.draw(request.n, request.seed).x for name, r in zip(_tell_apart(names), runs, strict=True)}
            sample_panels(image, panels | {self.operation: samples.x}, dataset.units)
        energy = target.bind(y=samples.y)(samples.x).detach()
        return Drawn({"compose": image} | save(request.folder, samples, energy, dataset), metrics)

    def energy(
        self, runs: tuple[LoadedRun, ...], temperature: float, density: Callable[[Energy], Energy] = Energy.of_data
    ) -> Energy:
        """The composed energy at T, of the averaged (or whatever loaded) weights of the runs.

        Args:
            runs: whose.
            temperature: T.
            density: of each run's energy, what is composed: the density of data, or those of all levels of noise.

        Raises:
            UserError: when the numbers of coefficients and runs differ, or a mixture's log Z is not known.
        """
        negated = self.operation == "negation"
        weights = self.coefficients or (1.0, *[0.5 if negated else 1.0] * (len(runs) - 1))
        if len(weights) != len(runs):
            raise UserError(f"mode.coefficients: needs one for each of the {len(runs)} runs, got {list(weights)}")
        energies = [density(run.energy) for run in runs]
        temperatures = [run.temperature for run in runs]
        if self.operation != "mixture":
            signed = [-w if negated and i else w for i, w in enumerate(weights)]
            return Product(energies, signed, temperatures, temperature)
        log_zs = self.log_z
        if log_zs is None:
            dataset = runs[0].parts["dataset"]
            if dataset.event_shape != (2,):
                raise UserError("mode.log_z: is required for a mixture outside the plane, one number for each run")
            log_zs = tuple(float(log_z(run.energy.of_data(), dataset, run.temperature, CELLS)) for run in runs)
        try:
            return MixtureOfEnergies(energies, weights, temperatures, temperature, log_zs)
        except ValueError as error:
            raise UserError(f"mode: {error}") from None


def _tell_apart(names: list[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name} {i + 1}" for i, name in enumerate(names)]
