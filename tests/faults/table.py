"""What every check is expected to show of every fault; the tests hold it, and the page in ``docs/`` is made from it.

Stages that show the same stand together. ``-`` is nothing: the check takes no notice. Most faults are like one of four.
"""

from tests.faults.fault import Cell

Row = dict[str, Cell]

# Nobody is told.
QUIET: Row = {
    "verify": "-",
    "repair": "-",
    "backfill": "-",
    "preflight": "-",
    "gate": {"dual_write new_first new_only": "opens", "sealed": "-"},
    "get_job": "the job",
    "list_jobs": "every job",
    "claim": "the job",
}

# Both copies are there, and differ.
DIFFERENT: Row = {
    "verify": "different (content)",
    "repair": {
        "dual_write": "mended: the legacy copy is right",
        "new_first new_only": "mended: the workspace copy is right",
        "sealed": "stays: different (stage_sealed)",
    },
    "backfill": "conflict",
    "preflight": "-",
    "gate": {"dual_write new_first new_only": "refused", "sealed": "-"},
    "get_job": "the copy that is read",
    "list_jobs": "every job",
    "claim": "the job",
}

# What stands under the workspace's name is no copy.
NO_COPY: Row = {
    "verify": "missing (partial)",
    "repair": {
        "dual_write new_first new_only": "mended: the legacy copy is right",
        "sealed": "stays: missing (stage_sealed)",
    },
    "backfill": "migrated",
    "preflight": "partial + fewer copies than jobs",
    "gate": {"dual_write": "opens", "new_first new_only": "refused", "sealed": "-"},
    "get_job": {"dual_write new_first": "the job", "new_only sealed": "no job"},
    "list_jobs": {"dual_write new_first": "every job", "new_only sealed": "without the job"},
    "claim": {"dual_write new_first": "the job", "new_only sealed": "no job"},
}

# The legacy record is not valid.
INVALID: Row = {
    "verify": {"dual_write new_first new_only": "extra (invalid) + quarantined", "sealed": "quarantined"},
    "repair": {
        "dual_write new_first new_only": "stays: extra (quarantined_no_workspace) + quarantined",
        "sealed": "stays: quarantined",
    },
    "backfill": "invalid",
    "preflight": "invalid (no_workspace) + more copies than jobs",
    "gate": {"dual_write new_first new_only": "refused", "sealed": "-"},
    "get_job": {"dual_write": "no job", "new_first new_only sealed": "the job"},
    "list_jobs": {"dual_write": "without the job", "new_first new_only sealed": "every job"},
    "claim": "no job",
}

EXPECTED: dict[str, Row] = {
    "no workspace copy": {
        **NO_COPY,
        "verify": "missing (absent)",
        "preflight": "fewer copies than jobs",
    },
    "no legacy copy": {
        **INVALID,
        "verify": {"dual_write new_first new_only": "extra (absent)", "sealed": "-"},
        "repair": {
            "dual_write": "mended: removed",
            "new_first new_only": "mended: the workspace copy is right",
            "sealed": "-",
        },
        "backfill": "not met",
        "preflight": "more copies than jobs",
    },
    "a byte changed at equal length": DIFFERENT,
    "the name of a field changed": DIFFERENT,
    "a field more": DIFFERENT,
    "a field less": DIFFERENT,
    "two values swapped": DIFFERENT,
    "another expiry": {
        **DIFFERENT,
        "verify": "different (expiry)",
        "get_job": "the job",
    },
    "an older status of the workspace copy": {
        **DIFFERENT,
        "claim": {"dual_write": "no job", "new_first new_only sealed": "the job"},
    },
    "an older status of the legacy copy": {
        **DIFFERENT,
        "claim": {"dual_write": "the job", "new_first new_only sealed": "no job"},
    },
    "an expiry of one field": QUIET,
    "the same wrong byte in both copies": {
        **QUIET,
        "get_job": "what both copies say",
    },
    "a workspace copy that names another workspace": NO_COPY,
    "a workspace copy that names no workspace": NO_COPY,
    "a workspace copy that names another job": NO_COPY,
    "a partial hash as workspace copy": NO_COPY,
    "a workspace copy of another type": {
        **NO_COPY,
        "verify": "missing (other)",
        "repair": {
            "dual_write new_first new_only": "stays: missing (other_type)",
            "sealed": "stays: missing (stage_sealed)",
        },
        "backfill": "conflict",
        "preflight": "other type + fewer copies than jobs",
    },
    "a legacy copy that names another workspace": {
        **INVALID,
        "verify": {"dual_write new_first new_only": "extra (valid)", "sealed": "-"},
        "repair": {
            "dual_write": "mended: removed",
            "new_first new_only": "stays: extra (id_of_another_workspace)",
            "sealed": "-",
        },
        "backfill": "-",
        "preflight": "more copies than jobs",
        "claim": "the job",
    },
    "a legacy copy that names no workspace": INVALID,
    "a legacy copy that names a malformed workspace": {
        **INVALID,
        "repair": {
            "dual_write new_first new_only": "stays: extra (quarantined_bad_workspace) + quarantined",
            "sealed": "stays: quarantined",
        },
        "preflight": "invalid (bad_workspace) + more copies than jobs",
    },
    "a legacy copy that names another job": {
        **INVALID,
        "repair": {
            "dual_write new_first new_only": "stays: extra (quarantined_id_mismatch) + quarantined",
            "sealed": "stays: quarantined",
        },
        "preflight": "invalid (id_mismatch) + more copies than jobs",
    },
    "a legacy copy of another type": {
        **INVALID,
        "repair": {
            "dual_write new_first new_only": "stays: extra (quarantined_wrong_type) + quarantined",
            "sealed": "stays: quarantined",
        },
        "preflight": "invalid (wrong_type) + more copies than jobs",
    },
    "a legacy record without a workspace": {
        **NO_COPY,
        "verify": "quarantined",
        "repair": "stays: quarantined",
        "backfill": "invalid",
        "preflight": "invalid (no_workspace)",
        "get_job": "the job",
        "list_jobs": "every job",
        "claim": "the job",
    },
    "a copy under a second workspace": {
        **DIFFERENT,
        "verify": {"dual_write new_first new_only": "extra (valid)", "sealed": "unindexed (sealed)"},
        "repair": {"dual_write sealed": "mended", "new_first new_only": "stays: extra (id_of_another_workspace)"},
        "backfill": "-",
        "preflight": "more copies than jobs",
        "get_job": "the job",
    },
    "a partial hash without a job": {
        **QUIET,
        "verify": "malformed (partial)",
        "repair": "stays: malformed (partial)",
        "preflight": "partial",
    },
    "a list or set under a workspace's name without a job": {
        **QUIET,
        "verify": "malformed (other)",
        "repair": "stays: malformed (other)",
        "preflight": "other type",
    },
    "a record of the third generation": {
        **QUIET,
        "verify": "third_generation",
        "repair": "stays: third_generation",
        "preflight": "third generation",
    },
    "no index entry": {
        **QUIET,
        "verify": "unindexed (unlisted)",
        "repair": "mended",
        "list_jobs": {"dual_write": "every job", "new_first new_only sealed": "without the job"},
    },
    "an index entry with a wrong score": {
        **QUIET,
        "verify": "unindexed (misplaced)",
        "repair": "mended",
    },
    "an index entry without a job": QUIET,
    "an index entry of another workspace's job": QUIET,
    "an index of another type": {
        **QUIET,
        "verify": "unindexed (unlisted), 2 times",
        "repair": "stays: unindexed (index_type), 2 times",
        "list_jobs": "refused, names the key",
    },
    "a queue entry without a job": QUIET,
    "no queue entry": {
        **QUIET,
        "claim": "no job",
    },
}
