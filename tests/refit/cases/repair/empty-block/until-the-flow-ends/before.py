def check(agent, status):
    if status == "ok":
    agent.healthy = True
    return True

    agent.healthy = False
    return False
