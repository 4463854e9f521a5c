"""Public path of `argosy.agent.legacy.service_discovery`, which answers lookups from the fleet file."""

from argosy.agent.legacy.service_discovery import *  # noqa: F403
from argosy.agent.legacy.service_discovery import __all__ as __all__
