"""The bytes on the wire: headers, records, and values.

Imported from outside: `frame`, `codec`.
"""
