def driver():
    try:
        from fast import driver
        return driver
    except ImportError:
        return None
