"""The tests of the chaos program: its judgement in memory, and one short run."""
