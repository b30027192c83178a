/* The ladder, as relay_jobs/stages.py has it in RULES; tests/model/test_ladder.py holds the two together. */
#define LEGACY 0
#define DUAL_WRITE 1
#define NEW_FIRST 2
#define NEW_ONLY 3
#define SEALED 4

#define WRITES_LEGACY(stage) (stage == LEGACY || stage == DUAL_WRITE || stage == NEW_FIRST || stage == NEW_ONLY)
#define WRITES_WORKSPACE(stage) (stage == DUAL_WRITE || stage == NEW_FIRST || stage == NEW_ONLY || stage == SEALED)
#define PREFERS_WORKSPACE(stage) (stage == NEW_FIRST || stage == NEW_ONLY || stage == SEALED)
#define FALLS_BACK(stage) (stage == NEW_FIRST)

inline SAY_STAGE(stage) {
  if
  :: stage == LEGACY -> printf("stage legacy\n")
  :: stage == DUAL_WRITE -> printf("stage dual_write\n")
  :: stage == NEW_FIRST -> printf("stage new_first\n")
  :: stage == NEW_ONLY -> printf("stage new_only\n")
  :: stage == SEALED -> printf("stage sealed\n")
  fi
}

/* A property is broken: its name ends the trail. */
#define BREAKS(property) printf("BROKEN "); printf(#property); printf("\n"); assert(false)
