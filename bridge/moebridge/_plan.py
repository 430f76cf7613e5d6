"""A configuration with the objects of its Python filters: what is loaded, applied or thrown away.

The model names Python filters by text; the core knows them by the number of a registered object.
A Plan stands between: made on any thread (it imports user code and checks every Config), loaded on
the worker's. In its model a filter's configuration is a `Made`, written as the number of its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from moebridge import _life
from moebridge._paths import ChainPath, Paths
from moebridge.chain import NativeFilter
from moebridge.config import model
from moebridge.config.filter_spec import unique_names
from moebridge.config.route_model import Forward, PerFilter
from moebridge.errors import ConfigError, Fault, FilterError
from moebridge.filter import HttpFilter
from moebridge.filter_base import Filter
from moebridge.filter_load import FilterLoader, in_one_line
from moebridge.network_filter import NetworkFilter

if TYPE_CHECKING:
    from moebridge._checker import Checker
    from moebridge._dispatch import Place
    from moebridge._server import Server

__all__ = ["Chain", "ChainItem", "Plan", "chain_of"]

ChainItem = HttpFilter | NetworkFilter | NativeFilter
Overrides = dict[str, PerFilter]
Owner = TypeVar("Owner", bound=msgspec.Struct)


class Made:
    """A filter's object in a model."""

    __slots__ = ("filter", "options", "path", "place")

    def __init__(self, filter_: Filter, options: model.FilterOptions, path: str) -> None:
        self.filter = filter_
        self.options = options
        self.path = path
        self.place: Place | None = None


class Chain(NamedTuple):
    """The filters of the object form, of the one filter chain."""

    #: Places of the model, and their objects.
    http: list[model.HttpFilter]
    network: list[model.HttpFilter]
    http_objects: list[ChainItem]
    network_objects: list[ChainItem]
    #: Where each stands in the list that was given.
    http_at: list[int]
    network_at: list[int]


class Plan:
    """One configuration, ready to be loaded.

    Args:
        config: the model.
        paths: where things stand.
        file: the file's name, "" for objects.
        loader: finds the classes of filters that are named.
        objects: the filters of the object form, instead of names, for the only listener.

    Raises:
        ConfigError: with every Python filter that cannot be made.
    """

    def __init__(
        self,
        config: model.Config,
        *,
        paths: Paths,
        file: str = "",
        loader: FilterLoader | None = None,
        objects: Chain | None = None,
    ) -> None:
        self.file = file
        self._paths = paths
        self._loader = loader or FilterLoader()
        self._faults: list[Fault] = []
        self._made: list[Made] = []
        listeners = [
            self._listener(item, index, objects) for index, item in enumerate(config.listeners)
        ]
        self._config = msgspec.structs.replace(config, listeners=listeners)
        if self._faults:
            raise ConfigError(self._faults, file=file)

    @property
    def drain_s(self) -> float:
        """The longest that streams may take to end: the connection managers' drain_timeout.

        TCP connections have none of their own and get the same; without HTTP, its default.
        """
        chains = [chain for item in self._config.listeners for chain in item.chains]
        times = [hcm.timeouts.drain_ms for hcm in self._managers()]
        if not times and any(chain.tcp_proxy is not None for chain in chains):
            times = [model.Timeouts().drain_ms]
        return max(times, default=0) / 1000

    def scheme(self, listener: str) -> str:
        """What a listener speaks, for its address as a URL: "http" or "tcp"."""
        for item in self._config.listeners:
            named = listener == item.name or listener.startswith(f"{item.name}[")
            if named and all(chain.hcm is None for chain in item.chains):
                return "tcp"
        return "http"

    # -- making objects --------------------------------------------------------------------------

    def _managers(self) -> list[model.Hcm]:
        chains = [chain for item in self._config.listeners for chain in item.chains]
        return [chain.hcm for chain in chains if chain.hcm is not None]

    def _listener(
        self, listener: model.Listener, index: int, objects: Chain | None
    ) -> model.Listener:
        chains = [
            self._filter_chain(item, (index, f"filter_chains[{number}]"), objects)
            for number, item in enumerate(listener.filter_chains)
        ]
        default = listener.default_filter_chain
        if default is not None:
            default = self._filter_chain(default, (index, "default_filter_chain"), objects)
        return msgspec.structs.replace(listener, filter_chains=chains, default_filter_chain=default)

    def _filter_chain(
        self, chain: model.FilterChain, at: ChainPath, objects: Chain | None
    ) -> model.FilterChain:
        network = [
            self._filter(
                item,
                self._paths.network_name(at, place),
                self._paths.network_config(at, place),
                objects.network_objects[place] if objects is not None else None,
                NetworkFilter,
            )
            for place, item in enumerate(chain.network_filters)
        ]
        chain = msgspec.structs.replace(chain, network_filters=network)
        hcm = chain.hcm
        if hcm is None:
            return chain
        filters = [
            self._filter(
                item,
                self._paths.filter_name(at, place),
                self._paths.filter_config(at, place),
                objects.http_objects[place]
                if objects is not None and place < len(objects.http_objects)
                else None,
                HttpFilter,
            )
            for place, item in enumerate(hcm.http_filters)
        ]
        by_name = {item.name: item for item in hcm.http_filters}
        path = f"{self._paths.manager(at)}.route_config"
        routes = self._routes(hcm.route_config, by_name, path)
        hcm = msgspec.structs.replace(hcm, http_filters=filters, route_config=routes)
        return msgspec.structs.replace(chain, hcm=hcm)

    def _filter(
        self,
        item: model.HttpFilter,
        name_path: str,
        config_path: str,
        given: ChainItem | None,
        kind: type[Filter],
    ) -> model.HttpFilter:
        if item.module != "python":
            return item
        if given is not None:
            assert isinstance(given, kind)
            config: Made | None = self._note(given, item.options, name_path)
        else:
            config = self._make(
                item.filter, item.config, item.options, name_path, config_path, kind
            )
        return msgspec.structs.replace(item, config=config)

    def _make(
        self,
        target: str,
        config: Any,
        options: model.FilterOptions,
        name_path: str,
        config_path: str,
        kind: type[Filter] = HttpFilter,
    ) -> Made | None:
        if config is not None and not isinstance(config, Mapping):
            self._faults.append(Fault(config_path, "a Python filter's configuration is an object"))
            return None
        try:
            found = self._loader.find(target, path=name_path)
            if not issubclass(found, kind):
                article = "a network filter" if kind is HttpFilter else "an HTTP filter"
                what = f"{found.__name__} is {article}: here stands {kind.__name__}"
                raise ConfigError([(name_path, what)])
            made = self._loader.make(
                target, config or {}, name_path=name_path, config_path=config_path
            )
        except ConfigError as error:
            self._faults += error.faults
            return None
        return self._note(made, options, name_path)

    def _note(self, made: Filter, options: model.FilterOptions, path: str) -> Made:
        self._made.append(Made(made, options, path))
        return self._made[-1]

    def _routes(
        self, routes: model.RouteConfig, chain: dict[str, model.HttpFilter], path: str
    ) -> model.RouteConfig:
        routes = self._overridden(routes, chain, path)
        hosts = []
        for i, host in enumerate(routes.virtual_hosts):
            at = f"{path}.virtual_hosts[{i}]"
            kept = []
            for j, route in enumerate(host.routes):
                kept.append(self._route(route, chain, f"{at}.routes[{j}]"))
            hosts.append(msgspec.structs.replace(self._overridden(host, chain, at), routes=kept))
        return msgspec.structs.replace(routes, virtual_hosts=hosts)

    def _route(
        self, route: model.Route, chain: dict[str, model.HttpFilter], path: str
    ) -> model.Route:
        route = self._overridden(route, chain, path)
        if not isinstance(route.action, Forward) or not any(
            target.per_filter for target in route.action.targets
        ):
            return route
        clusters = f"{path}.route.weighted_clusters.clusters"
        targets = [
            self._overridden(target, chain, f"{clusters}[{k}]")
            for k, target in enumerate(route.action.targets)
        ]
        action = msgspec.structs.replace(route.action, targets=targets)
        return msgspec.structs.replace(route, action=action)

    def _overridden(self, owner: Owner, chain: dict[str, model.HttpFilter], path: str) -> Owner:
        """The same with the objects of its per-route overrides."""
        given: Overrides = owner.per_filter  # type: ignore[attr-defined]
        if not given:
            return owner
        made: Overrides = {}
        for name, override in given.items():
            base = chain[name]
            if base.module != "python" or not override.has_config:
                made[name] = override
                continue
            at = f'{path}.typed_per_filter_config["{name}"]'
            config = self._make(
                override.filter or base.filter,
                override.config,
                override.options or base.options,
                f"{at}.per_route_config_name" if override.filter else at,
                f"{at}.filter_config.value",
            )
            made[name] = msgspec.structs.replace(override, config=config)
        return msgspec.structs.replace(owner, per_filter=made)

    # -- on the worker's thread ------------------------------------------------------------------

    def load(self, server: Server | Checker) -> tuple[bytes, list[Place]]:
        """Registers the objects: on_load runs.

        Returns:
            The document for the core, and the places that are new and have to be started.

        Raises:
            ConfigError: an on_load raised.
            FilterError: an object serves elsewhere already.
        """
        fresh: list[Place] = []
        seen: set[Filter] = set()
        try:
            for made in self._made:
                made.place = None if made.filter in seen else _kept(server, made.filter)
                seen.add(made.filter)
                if made.place is None:
                    made.place = self._load(server, made)
                    fresh.append(made.place)
        except BaseException:
            for place in fresh:
                _life.unload(place)
            raise
        return _encoder.encode(self._config), fresh

    def _load(self, server: Server | Checker, made: Made) -> Place:
        options, kind = made.options, type(made.filter).__name__
        if made.filter._place is not None:
            raise FilterError(
                f"{made.path}: this {kind} serves in another place already; make an object for each"
            )
        try:
            return server.load(
                made.filter,
                name=options.name,
                fail_open=options.on_error == "fail_open",
                hook_timeout_s=options.hook_timeout_ms / 1000,
            )
        except FilterError as error:
            cause = error.__cause__ or error
            what = f"on_load of {kind} raised {in_one_line(cause)}"
            raise ConfigError([(made.path, what)], file=self.file) from cause

    def check(self, checker: Checker) -> None:
        """Does all that `load` and the core do with it, and takes it back; nothing is bound.

        Raises:
            ConfigError: what is wrong.
            FilterError: an object serves elsewhere already.
        """
        document, fresh = self.load(checker)
        try:
            checker.check(document)
        except ConfigError as error:
            raise self.located(error) from None
        finally:
            for place in fresh:
                _life.unload(place)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of listeners, clusters and filters (routers are none)."""
        places = sum(len(hcm.http_filters) - 1 for hcm in self._managers())
        chains = [chain for item in self._config.listeners for chain in item.chains]
        places += sum(len(chain.network_filters) for chain in chains)
        return len(self._config.listeners), len(self._config.clusters), places

    def located(self, error: ConfigError) -> ConfigError:
        """The core's error with the user's paths and file."""
        faults = [Fault(self._paths.core(f.path), f.message) for f in error.faults]
        return ConfigError(faults, file=self.file)


def _kept(server: Server | Checker, made: Filter) -> Place | None:
    """The place that an object has since an earlier configuration of the same proxy."""
    place = made._place
    if place is None or place.worker is not server.worker:
        return None
    return place if server.worker.place(place.index) is place else None


def _number(made: object) -> int:
    assert isinstance(made, Made)
    assert made.place is not None
    return made.place.index


_encoder = msgspec.msgpack.Encoder(enc_hook=_number)


def chain_of(objects: Sequence[ChainItem]) -> Chain:
    """The model's chain of the object form, without the router.

    Raises:
        ConfigError: something in the list is no filter.
    """
    chain = Chain([], [], [], [], [], [])
    faults: list[Fault] = []
    for index, item in enumerate(objects):
        if isinstance(item, NativeFilter):
            place, of_network = item.model, item.network
        elif isinstance(item, Filter):
            name = type(item).__name__
            options = item._options or model.FilterOptions(name=name)
            place = model.HttpFilter(
                name=options.name, module="python", filter=name, options=options
            )
            of_network = isinstance(item, NetworkFilter)
        else:
            what = f"the class {item.__name__}" if isinstance(item, type) else repr(item)[:80]
            hint = ": make an object of it" if isinstance(item, type) else ""
            faults.append(Fault(f"filters[{index}]", f"{what} is no filter object{hint}"))
            continue
        (chain.network if of_network else chain.http).append(place)
        (chain.network_objects if of_network else chain.http_objects).append(item)
        (chain.network_at if of_network else chain.http_at).append(index)
    if faults:
        raise ConfigError(faults)
    return chain._replace(http=unique_names(chain.http), network=unique_names(chain.network))
