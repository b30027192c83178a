/*
 * verification.pml: what a verification says of a job that is being written, and of one that is really different.
 *
 * A process without the library that knows both schemas writes one copy after the other. It is taken for granted that
 * the pause before a second reading (verification.py, _SETTLE_SECONDS) outlasts the write that was under way at the
 * first, and that fewer writes fall into one settling than there are readings (_READINGS).
 */
#include "ladder.pml"

#define READINGS 4
#define WRITES 2

byte legacy, scoped;     /* versions of what is written */
bool fault;              /* a field that differs besides, and that no write mends */
bool under_way;          /* one copy is written, the other is not yet */
byte written;            /* complete writes */
bool concluded, different;

#define verification_invents_nothing (!concluded || !different || fault)
#define verification_misses_nothing (!concluded || different || !fault)

proctype observer() {
end:
  if
  :: !verification_invents_nothing -> BREAKS(verification_invents_nothing)
  :: !verification_misses_nothing -> BREAKS(verification_misses_nothing)
  fi
}

proctype old_process() {
end:
  do
  :: d_step { written < WRITES -> legacy++; under_way = true; printf("the legacy copy is written\n") };
     d_step { scoped++; under_way = false; written++; printf("the workspace copy is written\n") }
  od
}

/* compare_jobs.lua: both copies in one step. */
inline read() {
  doubt = fault || legacy != scoped; left = legacy; right = scoped; seen = written; readings++;
  printf("reading %d: different %d\n", readings, doubt)
}
/* What is written now was not being written when it was read. */
#ifdef NO_PAUSE
#define SETTLED true
#else
#define SETTLED (!under_way || written != seen)
#endif
#ifdef NO_FINGERPRINT
#define SAME_READING true
#else
#define SAME_READING (left == legacy && right == scoped)
#endif

/* verification.py, _settle: read again until two readings agree. */
proctype verification() {
  byte left, right, seen, readings;
  bool doubt, agreed;
  d_step { read() };
#ifndef NO_SECOND_READING
  do
  :: doubt && !agreed && readings < READINGS ->
     SETTLED;
     d_step { agreed = SAME_READING; read() }
  :: else -> break
  od;
#endif
  atomic { concluded = true; different = doubt; printf("concluded: different %d\n", doubt) }
}

init {
  atomic {
    if :: fault = true :: true fi;
    run observer(); run old_process(); run verification()
  }
}
