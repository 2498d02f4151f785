"""What pyproject.toml cannot say: the folder conf/ travels in the wheel, and hydra_plugins is shared."""

from setuptools import find_namespace_packages, find_packages, setup

setup(
    packages=[
        *find_packages(include=["ebm_exp*"]),
        *find_namespace_packages(include=["hydra_plugins.ebm_sweeper"]),
        *(f"ebm_exp.{folder}" for folder in find_namespace_packages(include=["conf*"])),
    ],
    package_dir={"ebm_exp.conf": "conf"},
    package_data={"": ["*.yaml", "*.css", "py.typed"]},
)
