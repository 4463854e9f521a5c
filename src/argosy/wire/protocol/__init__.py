"""The bytes on the wire: headers, records, and values.

From outside: `codec`, `frame`.
"""
