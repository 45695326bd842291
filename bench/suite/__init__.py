"""What `bench/run.py` measures, a module each.

A module of `PARTS` has two functions. `cases(context)` lists what it measures in every round.
`rows(context, results)` makes the rows of the report from the rounds of all cases, those of other
modules included, by name of the case.
"""

from . import appends, behind, rollovers

PARTS = {"appends": appends, "rollovers": rollovers, "behind": behind}
