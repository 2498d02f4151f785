"""Images of which a part is hidden, completed by chains that keep the rest."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.decode import LARGEST
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import FORMATS
from ebm_exp.energy.posterior import Inpainting
from ebm_exp.mode.base import Drawn, Mode, Request, densities_of, save
from ebm_exp.plots import sample_panels
from ebm_exp.random import generator, normal_like
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampling import Levels
from ebm_exp.types import Probability


class Inpaint(Mode):
    """``inpaint.png``: held-out images, what was seen of them, and what chains from noise made of the rest.

    ``error`` is the mean squared error of hidden components, ``error_of_noise`` that of the chains' starts.

    Args:
        mask: what is hidden: the ``left`` half, the ``centre`` (half of each side), ``random`` components, or a
            image file whose bright half is hidden.
        share: of components that ``random`` hides.
    """

    def __init__(self, mask: str = "left", share: Probability = 0.5) -> None:
        self.mask, self.share = mask, share

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        dataset = run.parts["dataset"]
        if len(dataset.event_shape) != 3:
            raise UserError(f"mode: inpaint needs images, {dataset.name} has points of shape {[*dataset.event_shape]}")
        n = min(request.n, dataset.n_test)
        known = dataset.test(n)
        sampling = densities_of(run)
        hidden = self._choose_hidden(dataset.domain, request.seed).to(known.device)
        target = Inpainting(sampling.moved_by(run.energy), hidden, run.parts["noise"])

        g = generator(known.device, "inpaint", request.seed)
        z = normal_like(known, g) if isinstance(sampling, Levels) else None
        start = dataset.domain.uniform(n, g) if z is None else z
        observed = {"known": known} if z is None else {"known": known, "z": z}
        drawn = run.draw(
            n, request.seed, watch=request.watch, label=request.label, energy=target, start=start, **observed
        )
        samples = drawn._replace(x=target.completed(drawn.x, known))
        seen = target.completed(torch.full_like(known, dataset.domain.centre), known)
        image = request.folder / "inpaint.png"
        panels = {"data": known, "seen": seen, f"completed, {sampling.n_steps} steps": samples.x}
        sample_panels(image, panels, dataset.units)
        hidden = hidden.expand_as(known)
        metrics = {
            "error": float((samples.x - known)[hidden].square().mean()),
            "error_of_noise": float((start - known)[hidden].square().mean()),
        }
        saved = save(request.folder, samples, run.energies(samples), dataset, mask=hidden[0].cpu().numpy())
        return Drawn({"inpaint": image} | saved, metrics)

    def _choose_hidden(self, domain: Domain, seed: int) -> Tensor:
        """``[*event]``, true where a component is hidden."""
        channels, height, width = domain.event_shape
        hidden = torch.zeros(height, width, dtype=torch.bool)
        if self.mask == "left":
            hidden[:, : width // 2] = True
        elif self.mask == "centre":
            hidden[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
        elif self.mask == "random":
            hidden = torch.rand(height, width, generator=generator("cpu", "mask", seed)) < self.share
        else:
            hidden = _from_file(Path(self.mask), width, height)
        if not hidden.any() or hidden.all():
            raise UserError(
                f"mask: must hide a part of the image, {self.mask} hides {'all' if hidden.all() else 'nothing'}"
            )
        return hidden.expand(channels, height, width)


def _from_file(path: Path, width: int, height: int) -> Tensor:
    from PIL import Image

    if not path.is_file():
        raise UserError(f"mask: must be left, centre, random or an image file, got {path}")
    try:
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > LARGEST:
                raise OSError(f"{opened.width:,}×{opened.height:,} pixels, at most {LARGEST:,} are read")
            grey = opened.convert("L").resize((width, height))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"mask: {path} cannot be read as an image ({str(error).splitlines()[0]})") from None
    return torch.from_numpy(np.asarray(grey) > 127)
