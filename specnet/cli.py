"""The command line: one table of commands, one way of reporting mistakes.

stdout carries the result (with ``--json`` exactly one document), stderr progress and remarks. Exit code 0 means
success, 2 a user's mistake told in one line, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from specnet import __version__
from specnet.errors import SpecnetError

COMMANDS = {
    "demo": "demo",
    "simulate": "simulate",
    "import": "import_",
    "inspect": "inspect",
    "pretrain": "pretrain",
    "train": "train",
    "train bottleneck": "train_bottleneck",
    "calibrate": "calibrate",
    "tune": "tune",
    "tune architecture": "tune_architecture",
    "evaluate": "evaluate",
    "explain": "explain",
    "export": "export",
    "sign keygen": "sign_keygen",
    "sign sign": "sign_sign",
    "sign verify": "sign_verify",
    "predict": "predict",
    "bench": "bench",
}
"""Module of `specnet.commands` for each command, in the order of a project's life; some have two words."""

USER_MISTAKE = 2
INTERRUPTED = 130
WRONG_PATH = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors of the file system that a user's path explains; others, such as a full disk, are none of the user's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        return _run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in {"specnet", "device", "gateway"}:
            raise
        # the core and the device are installed without what training needs
        print(f"specnet: {error.name} is not installed; pip install 'specnet-edge[train]'", file=sys.stderr)  # noqa: T201
        return USER_MISTAKE


def _run(arguments: Sequence[str] | None) -> int:
    # threads of torch that spin while they wait starve whatever else runs on a small machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = build_parser()
    args = parser.parse_args(_one_word(sys.argv[1:] if arguments is None else arguments))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    from specnet import console
    from specnet.demo.interruption import interruptible

    console.use_json(args.json)
    try:
        with interruptible():
            document = args.execute(args)
        if args.json:
            json.dump(document, sys.stdout, allow_nan=False)
            sys.stdout.write("\n")
            sys.stdout.flush()
    except SpecnetError as error:
        print(f"specnet: {error}", file=sys.stderr)  # noqa: T201
        return USER_MISTAKE
    except WRONG_PATH as error:
        print(f"specnet: {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("specnet: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:  # `specnet inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        console.use_json(False)
    return int(document.get("exit_code", 0))


def _one_word(arguments: Sequence[str]) -> list[str]:
    """Join the words of a command that has two: argparse knows commands of one."""
    words = list(arguments)
    return [" ".join(words[:2]), *words[2:]] if " ".join(words[:2]) in COMMANDS else words


def build_parser() -> argparse.ArgumentParser:
    """Parser of all commands. Modules of commands import only what their options need, so ``--help`` is quick."""
    parser = argparse.ArgumentParser(
        prog="specnet", description="Train, tune and ship spectrum classifiers that run on the sensor."
    )
    parser.add_argument("--version", action="version", version=f"specnet {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module_name in COMMANDS.items():
        module = import_module(f"specnet.commands.{module_name}")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=f"example: {module.EXAMPLE}",
        )
        command.add_argument("--json", action="store_true", help="print one JSON document instead of text")
        module.add_arguments(command)
        command.set_defaults(execute=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
