"""Frozen networks in RESULTS.md: ``python -m benchmarks.features --cifar10 <folder> --mnist <root> --fashion <root>``.

Before a network is offered as ``features=<name>`` its accuracy on its own test set is measured here, by the code that
evaluators use, and the floors of its distances: real points against others, at several numbers of points. CIFAR-10 is a
folder of PNGs, ``train/<class>/`` and ``test/<class>/``. Weights are in outputs/cache, where
``python -m ebm_exp.cli.fetch`` puts them. What is measured goes into ``results/features.json``; without arguments the
block is written anew from there. ``--networks`` and ``--n`` measure some.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.results import add, machine, read, table, write_block
from ebm_exp.dataset import ImageFolder, Vision
from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator import KID, Frechet
from ebm_exp.evaluator.features import FeatureSpace
from ebm_exp.evaluator.published import NETWORKS
from ebm_exp.text import number, with_error

CPU = torch.device("cpu")
SIZES = (1_000, 5_000, 10_000)
N_REFERENCE = 10_000
AEROPLANES = (404, 895)  # ImageNet's airliner and warplane; for CIFAR-10's class 0
OWN = {"lenet_mnist": "mnist"}  # the data of which a network knows the classes; CIFAR-10 otherwise
COMPARED = {"lenet_mnist": ("mnist", "fashion_mnist")}  # the data whose floors are measured; CIFAR-10 otherwise
HOW = (
    "Accuracy on the test set of the network's own data, by `python -m benchmarks.features`; EfficientNet-lite0, of "
    "ImageNet, is asked for aeroplanes. Floors: n test points against 10,000 of the training split, evenly spread, "
    "which is what `frechet_<features>_floor` and `kid_<features>_floor` are in a run; and n test points "
    "against the other test points. The ResNets have seen labels of CIFAR-10's training split, LeNet those of MNIST's."
)


@torch.no_grad()
def accuracy(name: str, dataset: Dataset) -> dict[str, Any]:
    """On how many test images a network is right."""
    space = FeatureSpace(name, dataset)
    right = n = 0
    for x, y in dataset.blocks("test", space.block):
        assert y is not None
        if name == "efficientnet_lite0":
            x = x[y == 0]
            hit = torch.isin(space.logits(x).argmax(1), torch.tensor(AEROPLANES)) if len(x) else torch.zeros(0)
        else:
            hit = space.logits(x).argmax(1) == y
        right, n = right + int(hit.sum()), n + len(x)
    return {"right": right, "of": n, "machine": machine()}


def floors(name: str, dataset: Dataset, n: int) -> list[dict[str, Any]]:
    """Distances of n test points from training points, and from the other test points where there are as many."""
    made = [floor(name, dataset, dataset, n, f"{N_REFERENCE:,} of the training split")]
    if dataset.n_test >= 2 * n:
        order = torch.randperm(dataset.n_test, generator=torch.Generator().manual_seed(0))
        rest = dataset.n_test - n
        x = dataset.test()
        parts = Dataset(name=dataset.name, domain=dataset.domain, train=x[order[n:]], test=x[order[:n]])
        made.append(floor(name, dataset, parts, n, f"the other {rest:,} of the test split"))
    return made


def floor(name: str, dataset: Dataset, parts: Dataset, n: int, against: str) -> dict[str, Any]:
    """The two distances of n test points of some data from their training points."""
    frechet, kid = Frechet(parts, n, name, n_reference=N_REFERENCE), KID(parts, n, name)
    real = frechet.space.drawn("test", n)
    found = frechet.measure(real), kid.measure(real)
    values = {"frechet": found[0].value, "kid": found[1].value, "kid_se": found[1].se}
    return {"data": dataset.name, "n": n, "against": against, **values}


def told(rows: Mapping[str, dict[str, Any]]) -> str:
    """The block of RESULTS.md."""
    nets = [
        (
            f"`{name}`",
            f"{NETWORKS[name].title} of {NETWORKS[name].trained_on}",
            f"{NETWORKS[name].num_features:,}",
            f"`{NETWORKS[name].sha256[:8]}`",
            f"{row['right'] / row['of']:.2%} of {NETWORKS[name].test}",
        )
        for name, row in rows.items()
    ]
    found = [
        (
            f"`{name}`",
            each["data"],
            f"{each['n']:,}",
            each["against"],
            number(each["frechet"]),
            with_error(each["kid"], each["kid_se"]),
        )
        for name, row in rows.items()
        for each in row["floors"]
    ]
    machines = ", ".join(dict.fromkeys(row["machine"] for row in rows.values()))
    heads = ("`features=`", "network", "features", "SHA-256", "right on")
    floor_heads = ("`features=`", "data", "n", "against", "Fréchet distance", "KID ± s.e.")
    return f"{HOW} {machines}.\n\n{table(heads, nets)}\n\n{table(floor_heads, found)}"


def main() -> None:
    """Measure what is named, and write the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", help="folder of PNGs")
    parser.add_argument("--mnist", help="dataset.root of MNIST")
    parser.add_argument("--fashion", help="dataset.root of Fashion-MNIST")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--n", nargs="*", type=int, default=list(SIZES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    data: dict[str, Dataset] = {}
    if given.cifar10:
        data["cifar10"] = ImageFolder("cifar10", CPU, given.cifar10, n_workers=1)
    for name, source, root in (("mnist", "MNIST", given.mnist), ("fashion_mnist", "FashionMNIST", given.fashion)):
        if root:
            data[name] = Vision(source, name, CPU, root, download=False)
    for name in given.networks if data else []:
        row = read("features").get(name, {"floors": []})
        if (own := OWN.get(name, "cifar10")) in data:
            row |= accuracy(name, data[own])
        kept = {(each["data"], each["n"], each["against"]): each for each in row["floors"]}
        for which in COMPARED.get(name, ("cifar10",)):
            for n in given.n if which in data else []:
                kept |= {(each["data"], n, each["against"]): each for each in floors(name, data[which], n)}
        add("features", {name: row | {"floors": [kept[key] for key in sorted(kept)]}})
    write_block("features", told(read("features")))


if __name__ == "__main__":
    main()
