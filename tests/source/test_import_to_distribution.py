"""Module to distribution: declared requirements, the tables, and installed distributions."""

from __future__ import annotations

import pytest

from argosy.source.import_to_distribution import find_distribution, find_installed_distribution


@pytest.mark.parametrize(
    ("module", "declared", "distribution", "source"),
    [
        ("yaml", (), "pyyaml", "table"),
        ("PIL.Image", (), "pillow", "table"),
        ("numpy", (), "numpy", "table"),
        ("cv2", (), "opencv-python-headless", "table"),
        ("cv2", ("opencv-python",), "opencv-python", "declared"),
        ("cv2", ("opencv-contrib-python", "opencv-python-headless"), "opencv-python-headless", "declared"),
        ("google.cloud.storage.blob", (), "google-cloud-storage", "table"),
        ("google.protobuf", ("google-cloud-storage",), "google-cloud-storage", "declared"),
        ("my_own_thing", ("my-own-thing",), "my-own-thing", "declared"),
    ],
)
def test_find_distribution_returns_distribution_and_source(
    module: str, declared: tuple[str, ...], distribution: str, source: str
) -> None:
    found = find_distribution(module, declared)
    assert found is not None
    assert (found.distribution, found.source) == (distribution, source)


def test_find_distribution_does_not_guess_unknown_module() -> None:
    assert find_distribution("surely_no_such_package", ()) is None
    assert find_distribution("utils", ()) is None


def test_find_distribution_asks_installed_distributions_last() -> None:
    found = find_distribution("hypothesis", (), find_installed_distribution)
    assert found is not None
    assert (found.distribution, found.source) == ("hypothesis", "installed")
    assert find_installed_distribution("surely_no_such_package") is None
