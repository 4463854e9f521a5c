"""From a module to its distribution: the tree's own choice, the tables, the records here, and no guess."""

from __future__ import annotations

import pytest

from argosy.source.suppliers import find_supplier, installed_supplier


@pytest.mark.parametrize(
    ("module", "asked", "distribution", "how"),
    [
        ("yaml", (), "pyyaml", "table"),
        ("PIL.Image", (), "pillow", "table"),
        ("numpy", (), "numpy", "table"),
        ("cv2", (), "opencv-python-headless", "table"),
        ("cv2", ("opencv-python",), "opencv-python", "asked"),
        ("cv2", ("opencv-contrib-python", "opencv-python-headless"), "opencv-python-headless", "asked"),
        ("google.cloud.storage.blob", (), "google-cloud-storage", "table"),
        ("google.protobuf", ("google-cloud-storage",), "google-cloud-storage", "asked"),
        ("my_own_thing", ("my-own-thing",), "my-own-thing", "asked"),
    ],
)
def test_known(module: str, asked: tuple[str, ...], distribution: str, how: str) -> None:
    found = find_supplier(module, asked)
    assert found is not None
    assert (found.distribution, found.how) == (distribution, how)


def test_an_unknown_name_is_not_guessed() -> None:
    assert find_supplier("surely_no_such_package", ()) is None
    assert find_supplier("utils", ()) is None


def test_the_records_here_are_asked_last() -> None:
    found = find_supplier("hypothesis", (), installed_supplier)
    assert found is not None
    assert (found.distribution, found.how) == ("hypothesis", "installed")
    assert installed_supplier("surely_no_such_package") is None
