"""The measured tracker: objectives whose every number has a command that gives it again."""

from argosy.track.track_loader import load_track, read_track
from argosy.track.track_spec import Metric, Objective, Track

__all__ = ["Metric", "Objective", "Track", "load_track", "read_track"]
