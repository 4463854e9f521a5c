"""H201: a health loop that only answers gives way to the standard that answers already.

`plan` makes the changes; each of the others holds a part of what has to be shown first: `responder`
(the loop answers and does nothing else), `purity` (the payload may be asked at any time), `standard`
(the base answers on the same port), `privacy` (nobody else names what goes), `removal` (what goes).
"""
