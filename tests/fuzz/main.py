"""Fuzz each target for some time, each in a process of its own: `make fuzz`.

What is found on the way is kept in build/fuzz for the next time. An input that makes a target fail
is written into its corpus, so that the tests fail as well until the bug is gone; the exit status
is that of failure then.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz import corpus

FOUND = Path("build/fuzz")
INSTRUMENTED = (
    "api", "bench", "h2", "hpack", "hyperframe", "lab", "observer", "policy", "server",
    "tests.observer.decode.reference", "tests.fuzz.targets",
)  # fmt: skip
LONGEST_RUN_S = 20
MOST_MEMORY_MB = 2048


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", choices=corpus.NAMES, help="fuzz this one, in this process")
    parser.add_argument("--write-seeds", action="store_true", help="write the seeds anew and end")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(corpus.NAMES))
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(corpus.NAMES)
    if unknown:
        parser.error(f"unknown target: {', '.join(sorted(unknown))}")
    if arguments.write_seeds:
        corpus.write_seeds(arguments.targets or corpus.NAMES)
        return 0
    if arguments.one:
        fuzz(arguments.one, arguments.seconds)
    failed = [
        name for name in arguments.targets or corpus.NAMES if not _passes(name, arguments.seconds)
    ]
    if failed:
        print(f"fuzz: failed: {', '.join(failed)}; the inputs are in {corpus.CORPUS}")
    return 1 if failed else 0


def _passes(name: str, seconds: int) -> bool:
    print(f"fuzz: {name}, {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.main", "--one", name, "--seconds", str(seconds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    lines = (done.stdout + done.stderr).splitlines()
    figures = [each for each in lines if "DONE " in each]
    said = [each for each in lines if not each.startswith("#")]
    shown = said[-60:] if done.returncode else figures
    print("\n".join(shown), flush=True)
    return done.returncode == 0


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; ends the process."""
    import atheris  # only here: tests and the lists of targets do without it

    with atheris.instrument_imports(include=list(INSTRUMENTED), enable_loader_override=False):
        target = corpus.load(name)
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    flags = {
        "max_total_time": seconds,
        "max_len": target.MOST_BYTES,
        "len_control": 0,
        "timeout": LONGEST_RUN_S,
        "rss_limit_mb": MOST_MEMORY_MB,
        "artifact_prefix": f"{corpus.folder(name)}/",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    options = [f"-{flag}={value}" for flag, value in flags.items()]
    atheris.Setup([sys.argv[0], *options, str(found), str(corpus.folder(name))], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
