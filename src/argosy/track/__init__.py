"""The measured tracker: objectives whose metrics have commands that reproduce their values.

For use from outside: the names below, `measurer`, `metric_status`, `report_model` and the renderers.
"""

from argosy.track.track_loader import load_track, read_track
from argosy.track.track_spec import Metric, Objective, Track

__all__ = ["Metric", "Objective", "Track", "load_track", "read_track"]
