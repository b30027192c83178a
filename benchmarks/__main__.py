"""All benchmarks, one after the other, and the page that shows them.

python -m benchmarks [--quick] [NAME …]   measure all parts, or those named, and write docs/performance.md
python -m benchmarks page                 write the page anew from benchmarks/results
"""

import argparse
import sys
import time

from benchmarks import backfill, rates, store, walks
from benchmarks.page import Parts, known, remember, write

# In the order of the page; each is called with `quick` and answers with its section.
PARTS: Parts = {
    "store": store.section,
    "backfill": backfill.section,
    "limit": walks.near_the_limit,
    "tenants": walks.beside_tenants,
    "rates": rates.exact_rates,
}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}; or page")
    parser.add_argument("--quick", action="store_true", help="a short look, which is printed only")
    asked = parser.parse_args()
    if unknown := set(asked.names) - {*PARTS, "page"}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    failed = []
    for name in [name for name in PARTS if name in asked.names or not asked.names]:
        print(f"{name} …", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            section = PARTS[name](quick=asked.quick)
        except Exception as error:  # noqa: BLE001 -- what the others have found is not lost with it
            failed.append(name)
            print(f"{name} has failed: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        print(f"{section.text()}\n\n({time.monotonic() - began:.0f} s)\n", flush=True)
        if not asked.quick:
            remember(name, section)
    if not asked.quick:
        write(known(PARTS))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
