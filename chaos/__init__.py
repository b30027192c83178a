"""Chaos on real processes: traffic, an operator and a migration on a server that is killed, restarted and replaced.

`python -m chaos --seconds 60 --seed 7` runs it. Every process notes what it is about to do and what it was told; at the
end these notes and both schemas must have one explanation in which nothing is lost, revived, foreign, partial or done
twice.
"""
