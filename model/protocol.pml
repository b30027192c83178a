/*
 * protocol.pml: one job id, its legacy copy and its two workspace copies, in every stage.
 *
 * Every script of relay_jobs/lua is one atomic step here, as it is in Redis. Content is one bit: a copy is fresh if it
 * is what was acknowledged last. A time to live is the number of ticks that are left, the same clock for all copies.
 * That the gates hold what `may_go_up` takes for granted is what gates.pml proves.
 */
#include "ladder.pml"

#define W 0 /* the workspace whose job it is, mostly */
#define F 1 /* a foreign one, with the same id */

#define ABSENT 0
#define WHOLE 1
#define LEFTOVER 2 /* a partial hash that was there before the library */
#define BROKEN 3   /* a partial hash that a write has made */

#define NOWHERE 0
#define IN_LEGACY 1
#define IN_WORKSPACE 2

typedef Copy { byte form; byte owner; bool fresh; byte expires }
typedef Truth { bool there; byte expires } /* what was acknowledged last: the ledger beside the store */

Copy legacy;    /* ai:jobs:{id} */
Copy scoped[2]; /* ai:job:{workspace}:{id} */
Truth truth[2];

byte stage = LEGACY;
bool old_writers = true;  /* processes without the library may write */
bool overridden = false;  /* a gate that did not hold was passed with a typed reason */
bool unreversed = false;  /* legacy copies were not written for a time (keys.SEALED_SINCE) */

/* rules.lua: legacy_state and scoped_state */
#ifdef NO_WORKSPACE_CHECK
#define LEGACY_COUNTS(w) (legacy.form == WHOLE)
#else
#define LEGACY_COUNTS(w) (legacy.form == WHOLE && legacy.owner == w)
#endif
#ifdef NO_WHOLE_RULE
#define COPY_COUNTS(w) (scoped[w].form != ABSENT)
#else
#define COPY_COUNTS(w) (scoped[w].form == WHOLE && scoped[w].owner == w)
#endif

/* rules.lua: locate and read_job */
#define SIDE(w, s) ((PREFERS_WORKSPACE(s) && COPY_COUNTS(w)) -> IN_WORKSPACE : \
  (((!PREFERS_WORKSPACE(s) || FALLS_BACK(s)) && LEGACY_COUNTS(w)) -> IN_LEGACY : NOWHERE))

/* rules.lua: same, and what compare_jobs and find_extra call a job */
#define SAME(w) (legacy.fresh == scoped[w].fresh && legacy.expires == scoped[w].expires)
#define SAME_EXPIRY(w) (!LEGACY_COUNTS(w) || !COPY_COUNTS(w) || legacy.expires == scoped[w].expires)
#define DIFFERENT(w) (LEGACY_COUNTS(w) && COPY_COUNTS(w) && !SAME(w))
#define EXTRA(w) (COPY_COUNTS(w) && !LEGACY_COUNTS(w))
#define MISSING(w) (LEGACY_COUNTS(w) && !COPY_COUNTS(w))
#define NO_JOB (legacy.form == ABSENT && scoped[W].form == ABSENT && scoped[F].form == ABSENT)

/* The properties. */
#define SERVED(w, s) (SIDE(w, s) != NOWHERE)
#define SERVED_FRESH(w, s) (SIDE(w, s) == IN_LEGACY -> legacy.fresh : scoped[w].fresh)
#define SERVED_WHOLE(w, s) (SIDE(w, s) == IN_LEGACY -> legacy.form == WHOLE : scoped[w].form == WHOLE)
#define SERVED_OWNER(w, s) (SIDE(w, s) == IN_LEGACY -> legacy.owner : scoped[w].owner)
#define RIGHT(w, s) (truth[w].there == SERVED(w, s) && (!SERVED(w, s) || SERVED_FRESH(w, s)))

#define whole_or_absent (legacy.form != BROKEN && scoped[W].form != BROKEN && scoped[F].form != BROKEN \
  && (!SERVED(W, stage) || SERVED_WHOLE(W, stage)) && (!SERVED(F, stage) || SERVED_WHOLE(F, stage)))
#define nobody_sees_foreign ((!SERVED(W, stage) || SERVED_OWNER(W, stage) == W) \
  && (!SERVED(F, stage) || SERVED_OWNER(F, stage) == F))
#define no_lost_update ((!truth[W].there || SERVED(W, stage)) && (!truth[F].there || SERVED(F, stage)))
#define nothing_revived ((truth[W].there || !SERVED(W, stage)) && (truth[F].there || !SERVED(F, stage)))
#define never_serves_stale ((!SERVED(W, stage) || SERVED_FRESH(W, stage)) && (!SERVED(F, stage) || SERVED_FRESH(F, stage)))
#define rollback_is_safe (stage <= DUAL_WRITE || overridden || unreversed || (RIGHT(W, DUAL_WRITE) && RIGHT(F, DUAL_WRITE)))

/* rules.lua, reading_stage: a process with READ_PREFERS_NEW=off goes by the legacy copy, or refuses every call. */
#ifdef FLAGGED_READS_UNREVERSED
#define FLAGGED_REFUSES (stage == SEALED)
#else
#define FLAGGED_REFUSES (stage == SEALED || unreversed)
#endif
#define FLAGGED_STAGE (stage > DUAL_WRITE -> DUAL_WRITE : stage)
#define flagged_process_reads_right (FLAGGED_REFUSES || overridden \
  || (RIGHT(W, FLAGGED_STAGE) && RIGHT(F, FLAGGED_STAGE)))

/* Any state in which a property is broken is one that this process can step out of. */
proctype observer() {
end:
  if
  :: !whole_or_absent -> BREAKS(whole_or_absent)
  :: !nobody_sees_foreign -> BREAKS(nobody_sees_foreign)
  :: !no_lost_update -> BREAKS(no_lost_update)
  :: !nothing_revived -> BREAKS(nothing_revived)
  :: !never_serves_stale -> BREAKS(never_serves_stale)
  :: !rollback_is_safe -> BREAKS(rollback_is_safe)
  :: !flagged_process_reads_right -> BREAKS(flagged_process_reads_right)
  fi
}

/* DEL */
inline remove(copy) {
  copy.form = ABSENT; copy.owner = 0; copy.fresh = false; copy.expires = 0
}

/* COPY ... REPLACE: the whole record with its absolute expiry. */
inline carry(from, to) {
  to.form = from.form; to.owner = from.owner; to.fresh = from.fresh;
#ifdef NO_ABSOLUTE_EXPIRY
  to.expires = 0
#else
  to.expires = from.expires
#endif
}

/* HSET of some fields: what was fresh stays fresh, what was stale is a mixture, and nothing becomes a partial hash. */
inline set_fields(copy) {
  if :: copy.form != WHOLE -> copy.form = BROKEN; copy.fresh = false /* never */ :: else fi
}

/* A job is gone for its workspace: whatever is left of it is stale. */
inline forget(w) {
  truth[w].there = false; truth[w].expires = 0; scoped[w].fresh = false;
  if :: legacy.owner == w -> legacy.fresh = false :: else fi
}

/* update_job.lua with written_copies of rules.lua; the status table is left out. */
inline update(w, s) {
  side = SIDE(w, s);
  wrote_legacy = side == IN_LEGACY; wrote_scoped = side == IN_WORKSPACE;
  if
#ifndef NO_SECOND_WRITE
  :: side == IN_WORKSPACE && WRITES_LEGACY(s) ->
#ifndef NO_CARRY_BACK
     if :: legacy.form == ABSENT -> carry(scoped[w], legacy) :: else fi;
#endif
     wrote_legacy = legacy.form == ABSENT || LEGACY_COUNTS(w)
  :: side == IN_LEGACY && WRITES_WORKSPACE(s) ->
#ifndef NO_CARRY_OVER
     if :: !COPY_COUNTS(w) -> carry(legacy, scoped[w]) :: else fi;
#endif
     wrote_scoped = true
#endif
  :: else
  fi;
  if :: wrote_legacy -> set_fields(legacy) :: side != NOWHERE && !wrote_legacy && legacy.owner == w -> legacy.fresh = false :: else fi;
  if :: wrote_scoped -> set_fields(scoped[w]) :: side != NOWHERE && !wrote_scoped -> scoped[w].fresh = false :: else fi;
  printf("workspace %d updates, found in %d\n", w, side);
  side = NOWHERE; wrote_legacy = false; wrote_scoped = false
}

/* delete_job.lua */
inline delete(w, s) {
  side = SIDE(w, s);
#ifdef DELETES_ONE_COPY
  if :: side == IN_LEGACY -> remove(legacy) :: side == IN_WORKSPACE -> remove(scoped[w]) :: else fi;
#else
  if :: LEGACY_COUNTS(w) -> remove(legacy) :: else fi;
  if :: COPY_COUNTS(w) || (scoped[w].form != ABSENT && side != NOWHERE) -> remove(scoped[w]) :: else fi;
#endif
  forget(w);
  printf("workspace %d deletes, found in %d\n", w, side);
  side = NOWHERE
}

/* enqueue_jobs.lua */
inline enqueue(w, s, ttl) {
  if
#ifndef NO_TAKEN_CHECK
  :: legacy.form != ABSENT || scoped[w].form != ABSENT -> printf("workspace %d enqueues: taken\n", w)
#endif
  :: else ->
     if :: WRITES_LEGACY(s) -> legacy.form = WHOLE; legacy.owner = w; legacy.fresh = true; legacy.expires = ttl :: else fi;
     if :: WRITES_WORKSPACE(s) -> scoped[w].form = WHOLE; scoped[w].owner = w; scoped[w].fresh = true; scoped[w].expires = ttl :: else fi;
     truth[w].there = true; truth[w].expires = ttl;
     printf("workspace %d enqueues, to live %d\n", w, ttl)
  fi
}

/* store.py: a process with the library. Without the safeguard it decides on a stage, and acts on it later. */
proctype store() {
  byte s, w, ttl, side;
  bool wrote_legacy, wrote_scoped;
  do
  :: atomic {
       s = stage
#ifdef STAGE_READ_BEFORE
       ; printf("a process reads: "); SAY_STAGE(s)
     };
     atomic {
#else
       ;
#endif
       if :: w = W :: w = F fi;
       if
       :: update(w, s)
       :: delete(w, s)
       :: if :: ttl = 0 :: ttl = 1 :: ttl = 2 fi; enqueue(w, s, ttl)
       fi;
       s = 0; w = 0; ttl = 0
     }
  od
}

/* A process without the library: every command by itself, on the legacy copy alone. */
proctype old_process() {
  byte w, ttl;
  do
  :: atomic {
       old_writers;
       if
       :: legacy.form == WHOLE -> scoped[legacy.owner].fresh = false; printf("old process: HSET or HDEL\n")
       :: legacy.form == WHOLE ->
          if :: ttl = 0 :: ttl = 1 :: ttl = 2 fi;
          legacy.expires = ttl; truth[legacy.owner].expires = ttl; printf("old process: EXPIRE or PERSIST %d\n", ttl)
       :: legacy.form == WHOLE -> w = legacy.owner; forget(w); remove(legacy); printf("old process: DEL\n")
       :: legacy.form == ABSENT ->
          if :: w = W :: w = F fi;
          legacy.form = WHOLE; legacy.owner = w; legacy.fresh = true; truth[w].there = true;
          printf("old process: HSET of a new job of %d\n", w)
       fi;
       w = 0; ttl = 0
     }
  od
}

/* walk_batch.lua, migrate: one key of a pass. */
#ifdef NO_EXISTENCE_CHECK
#define MAY_COPY(w) true
#else
#define MAY_COPY(w) (!COPY_COUNTS(w))
#endif
proctype backfill() {
  byte w;
#ifdef COPY_IN_TWO_STEPS
  Copy read;
  do
  :: atomic {
       legacy.form == WHOLE && WRITES_WORKSPACE(stage) && MAY_COPY(legacy.owner) ->
       w = legacy.owner; carry(legacy, read); printf("backfill reads\n")
     };
     atomic { carry(read, scoped[w]); remove(read); w = 0; printf("backfill writes\n") }
  od
#else
  do
  :: atomic {
       legacy.form == WHOLE && WRITES_WORKSPACE(stage) && MAY_COPY(legacy.owner) ->
       w = legacy.owner; carry(legacy, scoped[w]); w = 0; printf("backfill copies\n")
     }
  od
#endif
}

/* repair_job.lua: the copy that the stage reads is right. */
#ifdef REPAIR_TAKES_LEGACY
#define LEGACY_RIGHT(s) true
#elif defined(REPAIR_TAKES_WORKSPACE)
#define LEGACY_RIGHT(s) false
#else
#define LEGACY_RIGHT(s) (!PREFERS_WORKSPACE(s))
#endif
proctype repair() {
  byte s, w;
  do
  :: atomic {
       s = stage; WRITES_LEGACY(s) && WRITES_WORKSPACE(s) -> if :: w = W :: w = F fi
#ifdef REPAIR_IN_TWO_STEPS
     };
     atomic {
#else
       ;
#endif
       if
       :: DIFFERENT(w) && LEGACY_RIGHT(s) -> carry(legacy, scoped[w]); printf("repair of %d: the legacy copy wins\n", w)
       :: DIFFERENT(w) && !LEGACY_RIGHT(s) -> carry(scoped[w], legacy); printf("repair of %d: the workspace copy wins\n", w)
       :: MISSING(w) -> carry(legacy, scoped[w]); printf("repair of %d: copied\n", w)
       :: EXTRA(w) && LEGACY_RIGHT(s) -> remove(scoped[w]); printf("repair of %d: removed\n", w)
       :: EXTRA(w) && !LEGACY_RIGHT(s) && legacy.form == ABSENT -> carry(scoped[w], legacy); printf("repair of %d: copied back\n", w)
       :: else
       fi;
       s = 0; w = 0
     }
  od
}

/* Time: what has one tick left expires in every copy at once, as one server's clock has it. */
inline age(copy) {
  if :: copy.expires == 1 -> remove(copy) :: copy.expires > 1 -> copy.expires-- :: else fi
}
proctype clock() {
  byte w;
  do
  :: atomic {
       printf("tick\n");
       age(legacy); age(scoped[W]); age(scoped[F]);
       for (w : W .. F) {
         if :: truth[w].expires == 1 -> forget(w) :: truth[w].expires > 1 -> truth[w].expires-- :: else fi
       };
       w = 0
     }
  od
}

/* gates.py, in short: what must be true of the copies when a gate lets a scope up. gates.pml shows that it is. */
#ifdef NO_GATE_OF_NEW_FIRST
#define PREFERRING_IS_SAFE true
#else
#define PREFERRING_IS_SAFE (!old_writers && !DIFFERENT(W) && !DIFFERENT(F) && !EXTRA(W) && !EXTRA(F))
#endif
#ifdef NO_GATE_OF_NEW_ONLY
#define NEEDING_IS_SAFE true
#else
#define NEEDING_IS_SAFE (!MISSING(W) && !MISSING(F))
#endif
#define may_go_up ((stage == LEGACY) || (stage == DUAL_WRITE && PREFERRING_IS_SAFE) || (stage == NEW_FIRST && NEEDING_IS_SAFE))

/* moves.py, _refuse_unreversed */
#ifdef NO_REVERSE_NEEDED
#define may_go_down(target) true
#else
#define may_go_down(target) (target >= NEW_ONLY || !(stage == SEALED || unreversed))
#endif

/* A gate that was passed by override: from here on what the stage reads is what was acknowledged. */
inline take_as_right(w) {
  side = SIDE(w, stage);
  if
  :: side == IN_LEGACY ->
     scoped[w].fresh = scoped[w].fresh && legacy.fresh; legacy.fresh = true;
     truth[w].there = true; truth[w].expires = legacy.expires
  :: side == IN_WORKSPACE ->
     if :: legacy.owner == w -> legacy.fresh = legacy.fresh && scoped[w].fresh :: else fi;
     scoped[w].fresh = true; truth[w].there = true; truth[w].expires = scoped[w].expires
  :: else -> forget(w)
  fi;
  side = NOWHERE
}

inline accept() {
  if :: overridden -> take_as_right(W); take_as_right(F) :: else fi;
  if :: stage <= DUAL_WRITE -> overridden = false :: else fi
}

/* move_stage.lua: a scope goes along its rungs in one step. */
inline go_to(target) {
  stage = target;
  SAY_STAGE(stage);
  if :: stage == SEALED -> unreversed = true :: stage < NEW_ONLY -> unreversed = false :: else fi;
  if :: stage == LEGACY -> old_writers = true :: else fi
}

/* moves.py: up one rung through a gate, down at once, and any way on a server without a job. */
proctype operator() {
  byte target, side;
  do
  :: atomic { stage < SEALED && may_go_up -> go_to(stage + 1) }
  :: atomic { stage == DUAL_WRITE && old_writers -> old_writers = false; printf("stated: no old process is left\n") }
  :: atomic {
       stage == DUAL_WRITE && !may_go_up && SAME_EXPIRY(W) && SAME_EXPIRY(F) ->
       old_writers = false; overridden = true; printf("overridden\n"); go_to(NEW_FIRST); accept()
     }
  :: atomic {
       stage > LEGACY ->
       select (target : LEGACY .. SEALED);
       if :: target < stage && may_go_down(target) -> go_to(target); accept() :: else fi;
       target = 0
     }
#ifdef EMPTINESS_SEEN_IN_ONE_SCHEMA
  :: atomic { NO_JOB && !old_writers; printf("the server holds no job\n") };
#else
  :: atomic { NO_JOB && !old_writers && WRITES_WORKSPACE(stage) && WRITES_LEGACY(stage); printf("the server holds no job\n") };
#endif
     atomic {
       select (target : LEGACY .. SEALED);
       go_to(target);
       target = 0
     }
  od
}

init {
  atomic {
    if :: scoped[W].form = LEFTOVER :: true fi;
    run store(); run old_process(); run backfill(); run repair(); run clock(); run operator(); run observer()
  }
}
