"""The measured tracker: objectives whose metrics have commands that reproduce their values.

From outside: `builtin_measures`, `command_runner`, `html_report`, `markdown_import`, `markdown_report`,
`measurement_ledger`, `measurer`, `metric_status`, `provenance`, `ratchet`, `report_model`, `track_loader`,
`track_spec`, `track_template`.
"""

from argosy.track.track_loader import load_track, read_track
from argosy.track.track_spec import Metric, Objective, Track

__all__ = ["Metric", "Objective", "Track", "load_track", "read_track"]
