import sys


def show(text):
    print >>sys.stderr, text
