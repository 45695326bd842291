"""What tests leave behind on purpose, and what cannot be looked at.

SPDX-License-Identifier: Apache-2.0
"""

# For each test what it may leave, and why.
ON_PURPOSE: dict[str, tuple[str, str]] = {
    "cli/append/a_reader_of_acknowledgements_that_goes_away_ends_it_quietly": (
        r"thread cairnlog$",
        "the tool ends while its thread reads standard input, which nothing but input can end",
    ),
    "cli/damage/damage_is_found_or_harmless": (
        r"object ",
        "the test's messages live as long as the test, so that they can be static",
    ),
}

# Tests that start thousands of threads, which LeakSanitizer does not survive: it fails a check of
# its own. They are the longest, too. Threads, descriptors and mappings are looked at all the same.
MANY_THREADS = (
    "core/cairnlog/tests::faults::whatever_call_fails_nothing_acknowledged_is_lost"
    "_and_nothing_hangs",
    "core/cairnlog/tests::powercut::what_was_acknowledged_survives_every_power_cut",
)
