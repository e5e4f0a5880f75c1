"""The agent of a machine: it offers models, and has those loaded that are asked for.

`stock.py` is what it offers, `tenant.py` a worker that it has started, `household.py` all of these, `plan.py` decides
who comes and who goes, and `agent.py` does it. What the agents of several machines on one Redis say to each other is in
shared/agents.py.
"""
