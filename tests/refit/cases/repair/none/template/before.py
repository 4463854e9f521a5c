class {{ name }}(Agent):
    port = {{ port }}
