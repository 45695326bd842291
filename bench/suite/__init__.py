"""What `bench/run.py` measures, a module each.

A module of `PARTS` has two functions. `cases(context)` lists what it measures in every round.
`rows(context, results)` makes the rows of the report from the rounds of all cases, those of other
modules included, by name of the case. It may have a third, `remarks(context, results)`: sentences
for what there are no rows of.
"""

from . import appends, behind, languages, peers, rollovers, states

PARTS = {
    "appends": appends,
    "peers": peers,
    "rollovers": rollovers,
    "languages": languages,
    "behind": behind,
    "states": states,
}
