"""The test of whoever owns these scripts."""

import translator


def test_it_is_importable() -> None:
    assert callable(translator.main)
