def check(ports):
    return allowed({80, 443}, ports)
