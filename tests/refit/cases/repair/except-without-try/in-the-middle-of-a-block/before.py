def driver():
    try:
        from fast import driver
except ImportError as e:
    print(f"Import error: {e}")
        return driver
    except ImportError:
        return None
