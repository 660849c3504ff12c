"""Command line: ``fit``, ``select``, ``plan``, ``report`` and ``laws``.

``python -m scaling_laws`` alone reports on measured runs of small language models.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scaling_laws.command_line.parser import build_parser
from scaling_laws.errors import ScalingLawError, suggest


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default those of the process.

    Returns
    -------
    int
        0; 1 where there is no answer, after a message on standard error; 2 for wrong usage.

    Examples
    --------
    >>> main(["plan", "HOFFMANN_2022", "--target", "1.5"])
    for_target(loss=1.5), Hoffmann et al. 2022 (rounded)
    no plan reaches this
    target_below_floor: loss 1.5 is at or below the floor 1.69: no plan reaches it. Ask for less.
    1
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parsed(words)
    except SystemExit as stop:  # --help, or a usage error that argparse has explained
        return 0 if stop.code in (0, None) else 2
    try:
        found = options.run(options)
        print(json.dumps(found.to_dict(), allow_nan=False) if options.json else found, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ScalingLawError, OSError) as error:
        print(f"scaling_laws: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        return 1
    return 0 if found.answered else 1


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Options of a command; of a report where none is named."""
    parser, commands = build_parser()
    first = words[0] if words else "report"
    if first not in commands and first not in ("-h", "--help", "--version"):
        if not first.startswith("-") and not Path(first).suffix:
            parser.error(
                f"there is no command '{first}'.{suggest(first, commands)} Commands: "
                f"{', '.join(commands)}; or name a table of runs."
            )
        words = ["report", *words]
    return parser.parse_args(words or ["report"])


if __name__ == "__main__":
    sys.exit(main())
