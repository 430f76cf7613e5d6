"""The command `moebridge`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from moebridge import _commands as commands
from moebridge.errors import ConfigError, Error

__all__ = ["main"]

#: Names of Envoy's --log-level -> levels of logging.
LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": logging.CRITICAL + 10,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments, without the command's name; None = the process's.

    Returns:
        The exit status: 0 good, 2 wrong arguments or configuration, 1 all else.
    """
    try:
        args = _parser().parse_args(argv)
        if "" not in sys.path:
            sys.path.insert(0, "")  # `module:Class` is found in the working directory
        status: int = args.command(args)
        sys.stdout.flush()
    except ConfigError as error:
        _say(str(error))
        return 2
    except Error as error:
        _say(f"moebridge: {error}")
        return 2
    except BrokenPipeError:  # the reader of our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exits with 2."""
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="moebridge",
        description="A proxy data plane: a C core that runs filters written as Python classes.",
        allow_abbrev=False,
    )
    subs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_run(subs)
    command = subs.add_parser("validate", help="check a configuration file", allow_abbrev=False)
    command.add_argument(
        "-c", "--config", metavar="FILE", required=True, help="Envoy's v3 bootstrap"
    )
    command.set_defaults(command=commands.validate)
    command = subs.add_parser("filters", help="list the filters that are there", allow_abbrev=False)
    command.set_defaults(command=commands.filters)
    command = subs.add_parser("version", help="print versions", allow_abbrev=False)
    command.set_defaults(command=commands.version)
    _add_bench(subs)
    command = subs.add_parser(
        "new-filter", help="start a filter's file (does not exist yet)", allow_abbrev=False
    )
    command.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    command.set_defaults(command=commands.missing, name="new-filter")
    return parser


def _add_bench(subs: argparse._SubParsersAction[_Parser]) -> None:
    command = subs.add_parser(
        "bench",
        help="compare with other proxies on this machine",
        allow_abbrev=False,
        description="Measures what a request costs in moebridge and in the other proxies that are "
        "installed, each with one worker.",
    )
    command.add_argument("--list", action="store_true", help="say what is measured, and exit")
    command.add_argument("--quick", action="store_true", help="the first case, under a minute")
    command.add_argument(
        "--case",
        dest="cases",
        metavar="NAME",
        action="append",
        default=[],
        help="only this one; may be repeated",
    )
    command.add_argument(
        "--row",
        dest="rows",
        metavar="NAME",
        action="append",
        default=[],
        help="only this proxy, beside the one that the others are compared with; may be repeated",
    )
    command.add_argument(
        "--rounds", metavar="N", type=_positive, help="of each case; default: as the case says"
    )
    command.add_argument(
        "--seconds",
        metavar="N",
        type=_positive,
        help="of each measurement; default: as the case says",
    )
    command.add_argument("--out", metavar="FILE", type=Path, help="write the results as JSON")
    command.add_argument("--chart", metavar="FILE", type=Path, help="draw the results as SVG")
    command.add_argument(
        "--peers-venv",
        metavar="DIR",
        type=Path,
        help="a virtual environment with further proxies: mitmproxy, pyvoy",
    )
    command.set_defaults(command=commands.bench)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return number


def _add_run(subs: argparse._SubParsersAction[_Parser]) -> None:
    command = subs.add_parser(
        "run",
        help="run a proxy",
        allow_abbrev=False,
        description="Runs until SIGTERM or SIGINT, then drains and exits 0. Either a file, or "
        "--listen and --upstream.",
    )
    command.add_argument("-c", "--config", metavar="FILE", help="Envoy's v3 bootstrap")
    command.add_argument("--listen", metavar="HOST:PORT", help="port 0 takes a free one")
    command.add_argument(
        "--upstream", metavar="HOST:PORT[,HOST:PORT]", help="where requests are sent"
    )
    command.add_argument(
        "--filter",
        dest="filters",
        metavar="SPEC",
        action="append",
        default=[],
        help="MODULE:CLASS[=JSON], FILE.py:CLASS[=JSON], an installed filter's NAME[=JSON] or "
        "native:NAME[=JSON]; may be repeated, in the order in which requests meet them",
    )
    command.add_argument(
        "--workers", metavar="N", type=int, default=1, help="processes; only 1 yet"
    )
    command.add_argument("--admin", metavar="ADDR", help="admin listener (does not exist yet)")
    command.add_argument(
        "--log-level", metavar="L", choices=LEVELS, default="info", help=", ".join(LEVELS)
    )
    command.set_defaults(command=commands.run, levels=LEVELS)
