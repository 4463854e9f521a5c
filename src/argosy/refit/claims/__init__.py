"""Claims about a code base, checked against it.

    load -> Claims -> ground (files, fleet, trees) -> answer each query -> verdict

A claim says what is counted, where, how many there are and which places they are. Its query is a line of
text that anybody can ask again (`argosy claims count`). What cannot be counted from files is said to need a
measurement, and what hangs on files that cannot be read is said to be open: a verdict is never a guess.
"""
