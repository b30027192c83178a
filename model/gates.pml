/*
 * gates.pml: what the gates of the ladder stand on.
 *
 * One job stands for every job: a walk reads it once in each direction, at any time between its begin and its end, which
 * is all that SCAN promises. Of its copies only the relation counts. What protocol.pml takes for granted when a scope
 * goes up is the property here: gate_is_sound.
 */
#include "ladder.pml"

#define NO_JOB 0
#define MISSING 1   /* the legacy copy alone */
#define EQUAL 2
#define DIFFERENT 3 /* in content or expiry */
#define EXTRA 4     /* the workspace copy alone */

/* How often dual_write is entered from legacy. */
#if defined(OVERLAP) || defined(RESTARTS)
#define EPOCHS 1
#else
#define EPOCHS 2
#endif
/* How often it is stated that no old process is left, or a rollback withdraws that: the clock's last hour. */
#if defined(OVERLAP) || defined(RESTARTS)
#define HOURS 2
#else
#define HOURS 3
#endif

#define CLEAN 0
#define SOME_MISSING 1
#define UNCLEAN 2 /* different or extra */

/* A recorded verification: keys.VERIFICATIONS. Epochs begin with 1, so that 0 is none. */
typedef Proof { byte epoch; byte server; byte started; byte stage; byte verdict }
/* What the server holds. */
typedef Memory { byte job; byte stated_epoch; byte stated_at; byte withdrawn_at; Proof proof }

Memory redis;
#define PROOF redis.proof
Memory nothing;
Memory snapshot; /* what a restart brings back */
byte server = 1; /* run_id of the server process */
byte stage = LEGACY;
byte epoch = 0;
byte hours = 0;  /* the server's clock; only statements and rollbacks move it */
bool old_writers = true;

#define gate_is_sound ((stage < NEW_FIRST || (redis.job != DIFFERENT && redis.job != EXTRA)) \
  && (stage < NEW_ONLY || redis.job != MISSING))

proctype observer() {
end:
  if :: !gate_is_sound -> BREAKS(gate_is_sound) fi
}

/* store.py: calls of processes with the library, as far as the relation of both copies goes; and expiry. */
proctype store() {
  do
  :: d_step { redis.job == NO_JOB -> redis.job = (stage == LEGACY -> MISSING : EQUAL); printf("enqueue\n") }
  :: d_step { stage == LEGACY && redis.job == EQUAL -> redis.job = DIFFERENT; printf("update of the legacy copy\n") }
  :: d_step { stage == DUAL_WRITE && redis.job == MISSING -> redis.job = EQUAL; printf("update carries over, or backfill copies\n") }
  :: d_step { stage == NEW_FIRST && redis.job == MISSING -> redis.job = EQUAL; printf("update carries over, or backfill copies\n") }
  :: d_step { stage == DUAL_WRITE && redis.job == DIFFERENT -> redis.job = EQUAL; printf("repair\n") }
  :: d_step { redis.job != NO_JOB -> redis.job = NO_JOB; printf("delete, or expiry of all there is\n") }
  :: d_step { redis.job == DIFFERENT -> redis.job = EXTRA; printf("expiry of the legacy copy\n") }
  :: d_step { redis.job == DIFFERENT -> redis.job = MISSING; printf("expiry of the workspace copy\n") }
  od
}

/* Processes without the library: the legacy copy alone, in legacy and dual_write. */
#define MAY_WRITE (old_writers && stage <= DUAL_WRITE)
proctype old_process() {
  do
  :: d_step { MAY_WRITE && redis.job == NO_JOB -> redis.job = MISSING; printf("old process creates\n") }
  :: d_step { MAY_WRITE && redis.job == EXTRA -> redis.job = DIFFERENT; printf("old process creates anew\n") }
  :: d_step { MAY_WRITE && redis.job == EQUAL -> redis.job = DIFFERENT; printf("old process updates\n") }
  :: d_step { MAY_WRITE && redis.job == MISSING -> redis.job = NO_JOB; printf("old process deletes\n") }
  :: d_step { MAY_WRITE && (redis.job == EQUAL || redis.job == DIFFERENT) -> redis.job = EXTRA; printf("old process deletes\n") }
  od
}

/*
 * proving.py and verification.py, with compare_jobs.lua and find_extra.lua: the legacy copies first, then the workspace
 * copies. What is repaired is not found; a repair is a step of its own, in store().
 */
inline compare_legacy() {
  if
  :: redis.job == MISSING && verdict == CLEAN -> verdict = SOME_MISSING
  :: redis.job == DIFFERENT -> verdict = UNCLEAN
  :: else
  fi;
  printf("verification %d has walked the legacy copies: ", _pid); SAY_VERDICT()
}
inline find_extra() {
  if :: redis.job == EXTRA -> verdict = UNCLEAN :: else fi;
  printf("verification %d has walked the workspace copies: ", _pid); SAY_VERDICT()
}
inline SAY_VERDICT() {
  if
  :: verdict == CLEAN -> printf("clean\n")
  :: verdict == SOME_MISSING -> printf("missing\n")
  :: verdict == UNCLEAN -> printf("different or extra\n")
  fi
}
#ifdef WORKSPACE_WALKED_FIRST
#define FIRST_WALK find_extra()
#define SECOND_WALK compare_legacy()
#else
#define FIRST_WALK compare_legacy()
#define SECOND_WALK find_extra()
#endif
#ifdef PROOF_SPANS_EPOCHS
#define EPOCH_PROVEN epoch
#else
#define EPOCH_PROVEN (began_epoch == epoch -> epoch : 0)
#endif
inline record() {
  PROOF.epoch = EPOCH_PROVEN; PROOF.server = asked; PROOF.started = started;
  PROOF.stage = (began_stage == stage -> stage : 0); PROOF.verdict = verdict;
  printf("verification %d is recorded\n", _pid)
}
inline begin_anew() {
  asked = 0; began_epoch = 0; started = 0; verdict = CLEAN; began_stage = 0
}
proctype verification() {
  byte asked, began_epoch, began_stage, started, verdict;
  do
  :: d_step {
       stage > LEGACY ->
       asked = server; began_epoch = epoch; began_stage = stage; started = hours;
       printf("verification %d begins\n", _pid)
     };
     if
     :: d_step { asked != server -> begin_anew() }
     :: d_step { asked == server -> FIRST_WALK };
        if
        :: d_step { asked != server -> begin_anew() }
        :: d_step { asked == server -> SECOND_WALK };
           d_step { record(); begin_anew() }
        fi
     fi
  od
}

/* gates.py */
#ifdef NO_STATEMENT
#define BEGUN_AFTER_STATEMENT true
#elif defined(VERIFIED_BEFORE_STATEMENT)
#define BEGUN_AFTER_STATEMENT (redis.stated_epoch == epoch)
#elif defined(STATEMENT_OF_ANY_EPOCH)
#define BEGUN_AFTER_STATEMENT (redis.stated_epoch != 0 && PROOF.started >= redis.stated_at)
#else
#define BEGUN_AFTER_STATEMENT (redis.stated_epoch == epoch && PROOF.started >= redis.stated_at)
#endif
#ifdef PROOF_OF_ANY_EPOCH
#define OF_THIS_EPOCH (PROOF.epoch != 0)
#else
#define OF_THIS_EPOCH (PROOF.epoch == epoch)
#endif
#ifdef PROOF_OF_ANY_SERVER
#define OF_THIS_SERVER true
#else
#define OF_THIS_SERVER (PROOF.server == server)
#endif
#ifdef PREFERRING_ON_ANY_SERVER
#define OF_SERVER_FOR_NEW_FIRST true
#else
#define OF_SERVER_FOR_NEW_FIRST OF_THIS_SERVER
#endif
#ifdef NEEDING_BEFORE_ROLLBACK
#define BEGUN_AFTER_ROLLBACK true
#else
#define BEGUN_AFTER_ROLLBACK (PROOF.started >= redis.withdrawn_at)
#endif
#ifdef NEEDING_BEFORE_STATEMENT
#define BEGUN_FOR_NEW_ONLY true
#else
#define BEGUN_FOR_NEW_ONLY (BEGUN_AFTER_STATEMENT || (PROOF.stage >= NEW_FIRST && BEGUN_AFTER_ROLLBACK))
#endif
#ifdef PROOF_OF_ANY_STAGE
#define IN_DUAL_WRITE true
#else
#define IN_DUAL_WRITE (PROOF.stage == DUAL_WRITE)
#endif
#define may_prefer_new (BEGUN_AFTER_STATEMENT && IN_DUAL_WRITE && PROOF.verdict != UNCLEAN \
  && OF_THIS_EPOCH && OF_SERVER_FOR_NEW_FIRST)
#define may_need_new (BEGUN_FOR_NEW_ONLY && PROOF.verdict == CLEAN && OF_THIS_EPOCH && OF_THIS_SERVER)

/*
 * Old processes may come back wherever they are supported, until it is stated that none is left. A restart may bring a
 * statement back that was withdrawn, and with it the stage that the scope had then; that is not the model's matter.
 */
#ifdef RESTARTS
#define MAY_RETURN (stage == LEGACY)
#else
#define MAY_RETURN (stage == LEGACY || (stage == DUAL_WRITE && (redis.stated_epoch != epoch || RETURNED_UNSEEN)))
#endif
#ifdef STATEMENT_OUTLIVES_ROLLBACK
#define RETURNED_UNSEEN rolled_back
#define WITHDRAW hours++; rolled_back = true
bool rolled_back;
#else
#define RETURNED_UNSEEN false
#define WITHDRAW hours++; redis.withdrawn_at = hours; redis.stated_epoch = 0; redis.stated_at = 0
#endif
#ifdef MOVES_ON_ANY_SERVER
#define SAME_SERVER true
#else
#define SAME_SERVER (server == seen_server)
#endif
/* moves.py and move_stage.lua: the facts are looked at, then the scope moves if it still stands where it stood. */
proctype operator() {
  byte seen_epoch, seen_server, seen_stage;
  do
  :: d_step { stage == LEGACY && epoch < EPOCHS -> epoch++; stage = DUAL_WRITE; SAY_STAGE(stage) }
  :: d_step { old_writers -> old_writers = false; printf("the last old process ends\n") }
  :: d_step {
       stage == DUAL_WRITE && !old_writers && hours < HOURS && !may_prefer_new ->
       hours++; redis.stated_epoch = epoch; redis.stated_at = hours; printf("stated: no old process is left\n")
     }
  :: d_step {
       (stage == DUAL_WRITE && may_prefer_new) || (stage == NEW_FIRST && may_need_new) ->
       seen_epoch = epoch; seen_stage = stage; seen_server = server; printf("the gate holds\n")
     };
     d_step {
       if
       :: stage == seen_stage && epoch == seen_epoch && SAME_SERVER -> stage++; SAY_STAGE(stage)
       :: else -> printf("the move is refused\n")
       fi;
       seen_epoch = 0; seen_stage = 0; seen_server = 0
     }
  :: d_step {
       /* Whoever overrides knows that it is so. */
       stage == DUAL_WRITE && !old_writers && redis.job != DIFFERENT && redis.job != EXTRA ->
       stage = NEW_FIRST; printf("overridden: "); SAY_STAGE(stage)
     }
  :: d_step { stage > DUAL_WRITE && hours < HOURS -> stage = DUAL_WRITE; WITHDRAW; printf("rollback: "); SAY_STAGE(stage) }
#if EPOCHS > 1
  :: d_step { stage > LEGACY && epoch < EPOCHS -> stage = LEGACY; SAY_STAGE(stage) }
#endif
  :: d_step { !old_writers && MAY_RETURN -> old_writers = true; printf("old processes are back\n") }
  od
}

#ifdef RESTARTS
/* A restart from a snapshot, or a replica that lagged: what was written since is lost. */
inline keep(to, from) {
  to.job = from.job; to.stated_epoch = from.stated_epoch; to.stated_at = from.stated_at;
  to.withdrawn_at = from.withdrawn_at;
  to.proof.epoch = from.proof.epoch; to.proof.server = from.proof.server; to.proof.started = from.proof.started;
  to.proof.stage = from.proof.stage; to.proof.verdict = from.proof.verdict
}
proctype restart() {
  byte of_stage, of_epoch;
  d_step { keep(snapshot, redis); of_stage = stage; of_epoch = epoch; printf("snapshot\n") };
  /* That the server has lost a move of the stage is not the model's matter. */
  d_step {
    stage == of_stage && epoch == of_epoch ->
    keep(redis, snapshot); keep(snapshot, nothing); of_stage = 0; of_epoch = 0;
    server++; printf("the server restarts from the snapshot\n")
  }
}
#endif

init {
  atomic {
    run store(); run old_process(); run operator(); run observer();
    run verification();
#ifdef OVERLAP
    run verification();
#endif
#ifdef RESTARTS
    run restart();
#endif
    skip
  }
}
