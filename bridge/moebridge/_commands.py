"""What each command does; `cli.py` has their arguments."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import logging
import platform
import sys
from pathlib import Path

from moebridge import logs
from moebridge._checker import Checker
from moebridge._core_api import ffi, lib
from moebridge._paths import CommandPaths
from moebridge._plan import Plan
from moebridge._sources import plan_config
from moebridge.config.filter_spec import parse_filter_spec, unique_names
from moebridge.config.lower_native import NATIVE_FILTERS
from moebridge.config.model import HttpFilter
from moebridge.config.simple import build_simple
from moebridge.errors import ConfigError, Error, Fault
from moebridge.filter_load import FilterLoader, installed
from moebridge.network_filter import NetworkFilter
from moebridge.proxy import Proxy

__all__ = ["bench", "filters", "missing", "run", "validate", "version"]


def run(args: argparse.Namespace) -> int:
    """`moebridge run`."""
    _refuse_later_options(args)
    plan = _plan(args)
    logs.to_stderr(args.levels[args.log_level])
    proxy = Proxy._of(plan, args.config)

    def say_addresses() -> None:
        for name, address in proxy.addresses.items():
            url = address if address.startswith("unix:") else f"{plan.scheme(name)}://{address}"
            sys.stderr.write(f"listening {name} {url}\n")
        sys.stderr.flush()

    proxy.run(on_start=say_addresses)
    return 0


def _refuse_later_options(args: argparse.Namespace) -> None:
    if args.workers != 1:
        raise Error(f"--workers {args.workers}: more than one worker does not exist yet")
    if args.admin is not None:
        raise Error("--admin: the admin listener does not exist yet")


def _plan(args: argparse.Namespace) -> Plan:
    if args.config is not None:
        given = [("--listen", args.listen), ("--upstream", args.upstream)]
        given += [("--filter", args.filters or None)]
        for name, value in given:
            if value is not None:
                raise Error(f"run: {name} cannot stand beside -c: the file has it")
        return plan_config(args.config)
    for name, value in (("--listen", args.listen), ("--upstream", args.upstream)):
        if value is None:
            raise Error(f"run: {name} is missing; or give a file with -c")
    loader = FilterLoader((Path.cwd(),))
    http: list[HttpFilter] = []
    network: list[HttpFilter] = []
    for item in (_spec(spec) for spec in args.filters):
        (network if _is_network(loader, item) else http).append(item)
    http, network = unique_names(http), unique_names(network)
    try:
        model = build_simple(args.listen, args.upstream, http, network)
    except ConfigError as error:
        raise ConfigError([(f"--{fault.path}", fault.message) for fault in error.faults]) from None
    paths = CommandPaths([item.filter for item in http], [item.filter for item in network])
    return Plan(model, paths=paths, loader=loader)


def _is_network(loader: FilterLoader, item: HttpFilter) -> bool:
    if item.module != "python":
        return False
    try:
        return issubclass(loader.find(item.filter), NetworkFilter)
    except ConfigError:
        return False  # the plan says what is wrong with it


def _spec(spec: str) -> HttpFilter:
    try:
        return parse_filter_spec(spec)
    except ConfigError as error:
        argument = f"--filter {spec.partition('=')[0]}"
        faults = [
            fault
            if fault.path.startswith(argument)
            else Fault(_under(argument, fault.path), fault.message)
            for fault in error.faults
        ]
        raise ConfigError(faults) from None


def _under(argument: str, path: str) -> str:
    return f"{argument}: {path}" if path else argument


def validate(args: argparse.Namespace) -> int:
    """`moebridge validate`: loads everything, filters' on_load too; binds and starts nothing."""
    plan = plan_config(args.config)
    logs.to_stderr(logging.WARNING)
    checker = Checker()
    try:
        plan.check(checker)
    finally:
        checker.close()
    listeners, clusters, places = plan.counts
    counts = f"listeners: {listeners}, clusters: {clusters}, filters: {places}"
    sys.stdout.write(f"{args.config}: valid ({counts})\n")
    return 0


def filters(_args: argparse.Namespace) -> int:
    """`moebridge filters`: the installed ones, then those built in the core."""
    loader = FilterLoader()
    for name, target in installed().items():
        try:
            words = (loader.find(name).__doc__ or "").strip().partition("\n")[0]
        except ConfigError as error:
            words = f"cannot be loaded: {error.faults[0].message}"
        sys.stdout.write(f"{name:<24} {target:<52} {words}\n")
    for name in NATIVE_FILTERS:
        sys.stdout.write(f"{'native:' + name:<24} built in the core\n")
    return 0


def version(_args: argparse.Namespace) -> int:
    """`moebridge version`."""
    package = importlib.metadata.version("moebridge")
    core = ffi.string(lib.mb_version()).decode()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    sys.stdout.write(f"moebridge {package} (core {core}, {python}, {platform.machine()})\n")
    return 0


def bench(args: argparse.Namespace) -> int:
    """`moebridge bench`, a package of its own that only this command imports."""
    try:
        command = importlib.import_module("moebridge_bench.command")
    except ModuleNotFoundError as error:
        if error.name != "moebridge_bench":
            raise
        raise Error(
            "bench: the package moebridge_bench is not installed; in a checkout: make build"
        ) from None
    status: int = command.run(args)
    return status


def missing(args: argparse.Namespace) -> int:
    """A command of the contract that does not exist yet."""
    raise Error(f"{args.name}: this command does not exist yet")
