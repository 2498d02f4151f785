"""What pyproject.toml cannot say: the folder conf/ travels in the wheel as ebm_exp/conf."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ebm_exp*"]), "ebm_exp.conf"],
    package_dir={"ebm_exp.conf": "conf"},
    package_data={"ebm_exp.conf": ["**/*.yaml"]},
)
