"""Metadata of the distribution, and the only place that defines the version."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = ("resbuilder", "phs_optimizer", "survival")
# Requirements of phs_optimizer, resbuilder.common and resbuilder.morphnet. A backend of Keras comes
# from an extra, unless it is already installed.
BASE = [
    "keras>=3.15,<4",
    "numpy>=2.0,<3",
    "scipy>=1.14,<2",
    "matplotlib>=3.9,<4",
    "click>=8.1,<9",
    "rich>=13",
    "filelock>=3.16",
    "jinja2>=3.1,<4",
]
EXTRAS = {
    "tensorflow": ["tensorflow>=2.21,<3"],
    "search": ["scikit-learn>=1.5,<2", "pillow>=11"],
    "survival": [
        "pandas>=2.2,<4",
        "pillow>=11",
        "scikit-learn>=1.5,<2",
        "scikit-survival>=0.28,<1",
        "scikit-image>=0.24,<1",
        "openslide-python>=1.4,<2",
        # The OpenSlide library, so that no system package is needed.
        "openslide-bin>=4.0.0.6",
        # Reads tiles of plain JPEG slides several times faster than OpenSlide.
        "simplejpeg>=1.9,<2",
        # Identifies slides by their contents.
        "xxhash>=3.5,<5",
        # Writes the slides of `survival demo`.
        "tifffile>=2024.8.10",
    ],
    "onnx": ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"],
    "tfds": ["tensorflow-datasets>=4.9.9", "importlib_resources>=6"],
    "tensorboard": ["tensorboard>=2.20"],
    "experiments": ["keras-tuner>=1.4.8"],
    "ray": ["ray>=2.60,<3"],
}

setup(
    name="resbuilder",
    version="0.1.0",
    description="ResNets grown and pruned to a FLOPs budget; an optimizer with mass and friction",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    keywords=["keras", "neural architecture search", "resnet", "pruning", "morphnet", "optimizer"],
    python_requires=">=3.11",
    # Experiments and benchmarks run from a checkout and are not installed.
    packages=find_packages(include=[p + suffix for p in PACKAGES for suffix in ("", ".*")]),
    package_data={package: ["py.typed"] for package in PACKAGES}
    | {"resbuilder.report": ["*.j2"], "survival.report": ["*.j2"]},
    install_requires=BASE,
    extras_require=EXTRAS
    | {"all": sorted(set().union(*EXTRAS.values())), "benchmarks": ["torch-pruning>=1.6,<2"]},
    entry_points={
        "console_scripts": ["resbuilder = resbuilder.cli:main", "survival = survival.cli:main"]
    },
)
