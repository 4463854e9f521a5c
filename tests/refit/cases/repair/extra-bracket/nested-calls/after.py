import os

HERE = os.path.abspath(os.path.dirname(__file__))
NAME = "x"
