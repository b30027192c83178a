"""The migration from end to end on this machine: a store full of old jobs, live traffic on it, a real Airflow.

`python -m demo` walks all steps and ends with an exit code; `python -m demo up` keeps the environment until Ctrl-C.
Everything that it starts ends with it, everything that it writes is below `.demo/` in the checkout.
"""
