"""``python -m relay_jobs``."""

from relay_jobs.cli import main

if __name__ == "__main__":
    main()
