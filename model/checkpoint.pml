/*
 * checkpoint.pml: one partition of a pass, its checkpoint, lease and fencing token, over crashes, pauses and a restart.
 *
 * A step between two atomic steps of a process may take for ever: that is a pause, and a kill if it never comes.
 * What the server has in memory is lost back to a snapshot, and the new process has its keys in another order: a
 * cursor means nothing there.
 */
#include "ladder.pml"

#define KEYS 2
#define NO_JOB 0
#define LEGACY_ALONE 1
#define BOTH 2

#define MINE 1  /* the run whose tasks are modelled */
#define OTHER 2 /* another run */
#define JOINS 3  /* how often the pass is joined */
#ifdef RESTARTS
#define EPOCHS 1
#else
#define EPOCHS 2 /* how often dual_write is entered from legacy */
#endif

/* The hash of the pass (keys.progress), and beside it lease and counter. */
typedef Memory {
  byte job[KEYS];
  bool begun; byte of_server; byte of_epoch; byte token; byte token_server; byte cursor; bool done; bool complete;
  byte scanned; byte migrated; byte others; /* exists, gone */
  byte fence;     /* keys.FENCE: counts tokens */
  byte lease;     /* keys.LEASE: the run that holds it, 0 if free */
  byte complete_epoch; byte complete_server /* keys.PASSES */
}
Memory redis;
#ifdef RESTARTS
Memory snapshot; /* what a restart brings back */
Memory nothing;
#endif
byte server = 1;
byte epoch = 1;
bool dual_write = true;
byte last_to_join = 0; /* who joined last, whatever the server remembers of it */
bool intruded = false; /* somebody else, or another run than the one that holds the lease, has taken a step */

#define KEY_AT(position) ((server % 2 == 1) -> position : KEYS - 1 - position)

#define one_run (!intruded)
#define checkpoint_as_old_as_effect (redis.scanned == redis.cursor)
#define books_balance (redis.scanned == redis.migrated + redis.others)
#define complete_pass_has_copied_all (redis.complete_epoch != epoch || redis.complete_server != server || !dual_write \
  || (redis.job[0] != LEGACY_ALONE && redis.job[1] != LEGACY_ALONE))

proctype observer() {
end:
  if
  :: !one_run -> BREAKS(one_run)
  :: !checkpoint_as_old_as_effect -> BREAKS(checkpoint_as_old_as_effect)
  :: !books_balance -> BREAKS(books_balance)
  :: !complete_pass_has_copied_all -> BREAKS(complete_pass_has_copied_all)
  fi
}

/* What has to be so for a checkpoint to count: join_pass.lua, walk_batch.lua, finish_pass.lua. */
#ifdef NO_SERVER_IDENTITY
#define ON_THIS_SERVER true
#else
#define ON_THIS_SERVER (redis.of_server == server)
#endif
#ifdef NO_EPOCH_IN_CHECKPOINT
#define IN_THIS_EPOCH true
#else
#define IN_THIS_EPOCH (redis.of_epoch == epoch)
#endif
#ifdef NO_EPOCH_IN_CHECKPOINT
#define PASS_EPOCH epoch
#else
#define PASS_EPOCH redis.of_epoch
#endif
#ifdef NO_SERVER_IDENTITY
#define PASS_SERVER server
#else
#define PASS_SERVER redis.of_server
#endif
#define COUNTS (redis.begun && ON_THIS_SERVER && IN_THIS_EPOCH)
#ifdef NO_FENCING
#define LATEST true
#elif defined(TOKEN_OF_ANY_SERVER)
#define LATEST (redis.token == token)
#else
#define LATEST (redis.token == token && redis.token_server == token_server)
#endif
#ifdef NO_LEASE_CHECK
#define OTHER_RUN false
#else
#define OTHER_RUN (redis.lease == OTHER)
#endif

/* join_pass.lua, opening and joining in one. */
inline join() {
  if
  :: COUNTS && !redis.complete -> printf("try %d resumes at %d\n", _pid, redis.cursor)
  :: else ->
     redis.begun = true; redis.of_server = server; redis.of_epoch = epoch; redis.cursor = 0; redis.done = false;
     redis.scanned = 0; redis.migrated = 0; redis.others = 0; redis.complete = false;
     printf("try %d begins a pass\n", _pid)
  fi;
  redis.fence++; token = redis.fence; token_server = server;
  redis.token = token; redis.token_server = token_server;
  redis.lease = MINE; last_to_join = _pid
}
inline examine(cursor_now) {
  at = KEY_AT(cursor_now);
  if
  :: redis.job[at] == LEGACY_ALONE && dual_write -> redis.job[at] = BOTH; redis.migrated++
  :: else -> redis.others++
  fi;
  redis.scanned++; at = 0
}
inline checkpoint() {
  redis.cursor++;
  if :: redis.cursor == KEYS -> redis.done = true :: else fi;
  redis.lease = MINE
}
inline watch() {
  if :: last_to_join != _pid || (redis.lease == OTHER) -> intruded = true :: else fi;
  printf("try %d walks position %d\n", _pid, redis.cursor)
}
#define MAY_WALK (COUNTS && LATEST && !OTHER_RUN)

/* backfill.py, Walk: a task that walks the partition; its process may be a second try of the same task. */
proctype task() {
  byte token, token_server, at;
  do
  :: token == 0 -> d_step { redis.fence < JOINS && dual_write && !OTHER_RUN -> join() }
#ifdef EFFECT_BEFORE_CHECKPOINT
  :: d_step { token != 0 && MAY_WALK && !redis.done -> watch(); examine(redis.cursor) };
     d_step { MAY_WALK && !redis.done -> checkpoint() }
#elif defined(CHECKPOINT_BEFORE_EFFECT)
  :: d_step { token != 0 && MAY_WALK && !redis.done -> watch(); checkpoint() };
     d_step { redis.cursor > 0 -> examine(redis.cursor - 1) }
#else
  :: d_step { token != 0 && MAY_WALK && !redis.done -> watch(); examine(redis.cursor); checkpoint() }
#endif
  :: d_step { token != 0 && COUNTS && redis.done && !redis.complete ->
       redis.complete = true; redis.complete_epoch = PASS_EPOCH; redis.complete_server = PASS_SERVER; token = 0; token_server = 0;
       printf("the pass is complete\n")
     }
  :: d_step { token != 0 && !MAY_WALK -> token = 0; token_server = 0; printf("try %d: void, or fenced\n", _pid) }
  :: d_step { token != 0 -> token = 0; token_server = 0; printf("try %d is killed\n", _pid) }
  od
}

/* The lease expires by itself, whoever holds it is paused or dead; and another run, with a pass of its own, takes it. */
proctype other_run() {
  do
  :: d_step { redis.lease != 0 -> redis.lease = 0; printf("the lease of the run expires\n") }
  :: d_step { redis.lease == 0 -> redis.lease = OTHER; printf("another run begins elsewhere\n") }
  od
}

/* Calls of the store, and a scope that goes down to legacy and comes back. */
proctype store() {
  do
  :: d_step { redis.job[0] == NO_JOB -> redis.job[0] = (dual_write -> BOTH : LEGACY_ALONE); printf("enqueue key 0\n") }
  :: d_step { redis.job[0] != NO_JOB -> redis.job[0] = NO_JOB; printf("delete key 0\n") }
#if EPOCHS > 1
  :: d_step { dual_write && epoch < EPOCHS -> dual_write = false; printf("stage legacy\n") }
  :: d_step { !dual_write -> dual_write = true; epoch++; printf("stage dual_write\n") }
#endif
  od
}

#ifdef RESTARTS
inline keep(to, from) {
  to.job[0] = from.job[0]; to.job[1] = from.job[1]; to.begun = from.begun; to.of_server = from.of_server;
  to.of_epoch = from.of_epoch; to.token = from.token; to.token_server = from.token_server; to.cursor = from.cursor;
  to.done = from.done; to.complete = from.complete; to.scanned = from.scanned; to.migrated = from.migrated;
  to.others = from.others; to.fence = from.fence; to.lease = from.lease;
  to.complete_epoch = from.complete_epoch; to.complete_server = from.complete_server
}
proctype restart() {
  byte of_epoch;
  d_step { dual_write -> keep(snapshot, redis); of_epoch = epoch; printf("snapshot\n") };
  /* That the server has lost a move of the stage is not the model's matter. */
  d_step {
    dual_write && epoch == of_epoch ->
    keep(redis, snapshot); keep(snapshot, nothing); of_epoch = 0;
    server++; printf("the server restarts from the snapshot\n")
  }
}
#endif

init {
  atomic {
    redis.job[0] = LEGACY_ALONE; redis.job[1] = LEGACY_ALONE;
    run observer(); run store(); run other_run();
#ifdef RESTARTS
    run restart();
#endif
    /* Two tries of one task: the same run, the same owner of the partition. */
    run task(); run task()
  }
}
