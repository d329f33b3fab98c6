"""The driver: brings a configuration onto a Ray cluster, changes it, takes it down.

Ray is imported by the functions that need it: Serve reads its flags from the environment when it is
imported, in every process of the cluster, so they are set before.
"""
# pyright: basic

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Mapping
from typing import Any

from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.host.options import Options
from rewardplane.host.progress import DeployFailed, Progress, Stopped, way_back
from rewardplane.replica.worker_host import local_folder

from . import placement
from .applications import DRAINED_S, apps_of, bring_up, in_place, prepare
from .connecting import connect
from .gateways import Gateways
from .in_force import InForce
from .membership import ANSWER_S, POLL_S, Membership
from .membership import NAME as MEMBERSHIP
from .names import APP_PREFIX, GATEWAY_APP, NAMESPACE, Deployed, app_name, fingerprint_of, told
from .retiring import Retiring
from .shadowing import Shadows
from .status import deploying

SWITCH_S = 60.0
TEND_S = 1.0

_log = logging.getLogger(__name__)


class Cluster:
    """One configuration on one Ray cluster: `start`, `reload` as often as wanted, `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options.with_port()
        self._is_local = options.address == "local"
        self._config: ServiceConfig | None = None
        """What is deployed, whole, and served."""
        self._retiring = Retiring()
        self._in_force = InForce(self._retiring.restored)
        self._membership: Any = None
        self._gateways = Gateways(self._options)
        self._apps: set[str] = set()
        """The applications that this process has deployed or found."""
        self._up: set[str] = set()
        """Those whose replicas run."""
        self._was_served = False
        """Whether there may be a service of a process before this one, with its gateways."""
        self._tended_s = 0.0

    @property
    def port(self) -> int:
        """Where the gateways serve; chosen here where the options leave it open."""
        return self._options.port

    def start(self, config: ServiceConfig, progress: Progress | None = None) -> None:
        """Deploys all rewards, their models and the gateways; returns when a gateway answers.

        A service that a process with `keep` has left on the cluster is taken over as it runs.

        Raises:
            DeployFailed: it did not come up; nothing of it is left. A service that was taken over
                serves on as it was.
            Stopped: a signal asked to end; nothing is left, unless the options say `keep`.
        """
        progress = progress or Progress()
        connect(self._options, config, progress)
        try:
            progress.say("Ray is up; deploying")
            with deploying():
                self._begin(config, progress)
        except Stopped:
            self.stop(keep=self._options.keep and self._serves_on())
            raise
        except BaseException:
            if serves_on := self._serves_on():
                _log.warning("what was served on the cluster before is served on")
            self.stop(keep=serves_on)
            raise

    def _serves_on(self) -> bool:
        """Whether what a process before this one has left is as it was, or is so again."""
        return self._was_served and (self._config is not None or self._in_force.config is None)

    def reload(self, config: ServiceConfig, progress: Progress | None = None) -> list[str]:
        """Serves `config` from now on; returns the names of the rewards that changed.

        New versions are deployed beside the old, all gateways switch, old versions are kept until
        `upkeep` finds them unused; upkeep goes on while new versions start. A model with `swap:
        in_place` takes the place of the old one: calls wait meanwhile. No call in flight fails.
        While it waits for new versions, it gives way to the next reload.

        Raises:
            DeployFailed: a new version did not come up, for whatever reason; what was served goes
                on being served.
            Stopped: a signal asked to end; what was served goes on being served.
        """
        from ray.exceptions import RayError

        if self._config and config.limits != self._config.limits:
            raise DeployFailed("limits: cannot change while serving; restart the service")
        with deploying():
            with contextlib.suppress(RayError):
                self._in_force.tell()
            patient = self._options.autoscaled
            return self._switch(config, progress or Progress(), patient=patient)

    def upkeep(self) -> None:
        """Looks after what has been deployed: to be called now and then.

        Takes down old versions that no call uses, restores what the membership actor has lost, has
        a gateway on each node that is there. A control plane that does not answer is tried again
        the next time: the gateways go on with what they know.

        Raises:
            Stopped: another process serves the cluster; `stop` leaves it all to that one.
        """
        from ray.exceptions import RayError

        if self._membership is None:
            return
        try:
            self._in_force.tell()
            self._retire()
            self._gateways.follow_nodes()
        except RayError as error:
            _log.warning("the control plane does not answer: %s", error)
        except DeployFailed as error:
            _log.critical("this process ends: %s", error)
            raise Stopped from None

    def addresses(self) -> list[str]:
        """Where the gateways listen."""
        import ray

        return ray.get(self._membership.in_use.remote(0), timeout=ANSWER_S)[2]

    def stop(self, *, keep: bool | None = None) -> None:
        """Drains the gateways, then ends everything.

        With `keep` (None: as the options say) only this process leaves, and the service goes on.
        """
        import ray
        from ray import serve

        if not ray.is_initialized():
            return
        ownership = self._in_force.ownership
        ownership.end()
        is_left = (self._options.keep if keep is None else keep) or ownership.successor
        if is_left and not self._is_local:
            ray.shutdown()
            return
        folder = local_folder(ray.get_runtime_context().get_session_name())
        try:
            if GATEWAY_APP in self._apps:
                serve.delete(GATEWAY_APP)
            if not self._is_local:
                for app in self._apps - {GATEWAY_APP}:
                    serve.delete(app, _blocking=False)
                serve.status()  # by its answer, the controller has taken what came before
            if self._membership is not None:
                ray.kill(self._membership)
        finally:  # Serve's controller may be gone
            ray.shutdown()
            if folder is not None and self._is_local:
                # Replicas that Ray ended with their node leave their sockets behind.
                shutil.rmtree(folder, ignore_errors=True)

    def _begin(self, config: ServiceConfig, progress: Progress) -> None:
        import ray
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(
            proxy_location="Disabled",
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        actor = ray.remote(Membership).options(
            name=MEMBERSHIP,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
        )
        membership: Any = actor.remote()

        self._in_force.claim(membership, progress)
        self._membership = membership
        self._was_served = not self._is_local
        if not self._is_local:
            self._take_over(config, progress)
        self._switch(config, progress, patient=not self._is_local)

    def _take_over(self, config: ServiceConfig, progress: Progress) -> None:
        """Goes on with what a service before this one has left running on the cluster.

        Its gateways stay if they were started as these would be, and serve what they serve until
        `config` is up. Replicas of versions that are still wanted stay, all others go when no call
        uses them.
        """
        import ray
        from ray import serve

        known = serve.status().applications
        self._apps |= {app for app in known if app.startswith(APP_PREFIX)}
        for app in self._apps - {GATEWAY_APP}:
            if known[app].status == "RUNNING":
                self._up.add(app)
        self._retiring.add(self._apps - {GATEWAY_APP})
        if not self._in_force.generation:
            self._retiring.restored()
        if GATEWAY_APP not in self._apps:
            self._was_served = False
            return

        fronts: list[str] = []

        def silent() -> str:
            fronts[:] = ray.get(self._membership.fronts.remote(), timeout=ANSWER_S)
            return "" if fronts else "the gateways that are there have not told of themselves"

        progress.wait(silent, 2 * POLL_S + 2)
        if fronts != [told(self._options, config.limits)]:
            self._was_served = False
            serve.delete(GATEWAY_APP)
            return
        self._gateways.take_over()
        self._config = left = self._in_force.take_over()
        if left is not None:
            # What lacks a replica for now is Serve's to mend; to deploy it anew would be no help.
            gone = "DELETING", "DEPLOY_FAILED", "NOT_STARTED"
            there = {app for app in known if known[app].status not in gone}
            self._up |= apps_of(left).keys() & there
            self._retiring.keep(apps_of(left))

    def _switch(self, config: ServiceConfig, progress: Progress, *, patient: bool) -> list[str]:
        """Deploys what is new of `config`, then has all gateways serve it."""
        old = self._config
        before = old.rewards if old else {}
        served = {r.fingerprint for r in before.values()}
        wanted = apps_of(config)
        fresh = {app: part for app, part in wanted.items() if app not in self._up}
        swaps = in_place(fresh, self._up)
        made = [r for r in config.rewards.values() if r.fingerprint not in served]
        asking = [r for r in made if r.model is not None and app_name(r.model) not in swaps]
        beside = {app: part for app, part in fresh.items() if app not in swaps}
        shadows = Shadows(fresh, self._up, self._membership)
        self._retiring.keep(wanted)
        try:
            self._deploy(beside, asking, progress, patient=patient)
            shadows.tell(beside, progress)
            self._publish(config, progress)
            for app, gone in swaps.items():
                self._swap(gone, app, config, progress)
            shadows.tell(swaps, progress)
        except BaseException as error:
            if old:
                with way_back(error):
                    self._go_back(old, config, progress)
            raise
        if old:
            self._retire_later(old, wanted)
        self._config = config
        return [r.name for r in made] + [name for name in before if name not in config.rewards]

    def _go_back(self, old: ServiceConfig, config: ServiceConfig, progress: Progress) -> None:
        """Serves `old`, as if nothing of `config` had ever been begun."""
        wanted = apps_of(old)
        self._retire_later(config, wanted)
        try:
            if self._in_force.config is not old:  # not all of them took it up: they go back
                self._put_in_force(old, progress)
        finally:
            # Models that made place; what stands there now goes when no call uses it any more.
            lost = {app: part for app, part in wanted.items() if app not in self._up}
            if lost:
                progress.check()
                self._deploy(lost, [], progress, patient=True)

    def _publish(self, config: ServiceConfig, progress: Progress) -> None:
        """Has all gateways serve a configuration; returns when they do."""
        self._put_in_force(config, progress)
        self._apps.add(GATEWAY_APP)
        self._gateways.run(config.limits, progress)
        progress.expect(self._in_force.not_served, SWITCH_S)

    def _put_in_force(self, config: ServiceConfig, progress: Progress) -> None:
        self._in_force.put(config, progress)

    def _swap(self, gone: list[str], app: str, config: ServiceConfig, progress: Progress) -> None:
        """Puts a model in the place of others; its calls wait in the gateways until it is up.

        Raises:
            DeployFailed: it does not come up.
        """
        import ray
        from ray import serve

        model = apps_of(config)[app]
        fingerprints = {fingerprint_of(old) for old in gone}

        def used() -> str:
            asked = self._membership.in_use.remote(0)
            _switched, in_use, _addresses = ray.get(asked, timeout=ANSWER_S)
            return f"calls use the old {model.name}" if fingerprints & set(in_use) else ""

        progress.wait(used, DRAINED_S)
        for old in gone:
            serve.delete(old, _blocking=False)
            self._forget(old)

        def there() -> str:
            left = serve.status().applications.keys() & set(gone)
            return f"the old {model.name} has not ended" if left else ""

        progress.expect(there, DRAINED_S)
        asking = [r for r in config.rewards.values() if r.model == model]
        self._deploy({app: model}, asking, progress, patient=True)

    def _retire_later(self, config: ServiceConfig, wanted: Mapping[str, Deployed]) -> None:
        """Has what runs of `config`, and is not wanted, go when no call uses it."""
        self._retiring.add((apps_of(config).keys() & self._up) - wanted.keys())

    def _forget(self, app: str) -> None:
        """Notes that an application is gone."""
        self._apps.discard(app)
        self._up.discard(app)
        self._retiring.keep([app])

    def _retire(self) -> None:
        """Takes down what is retiring and no call uses."""
        from ray import serve

        for app in self._retiring.unused(self._membership):
            serve.delete(app, _blocking=False)
            self._forget(app)

    def _tend(self, progress: Progress) -> None:
        """Upkeep while new versions start: they may wait for what old ones hold."""
        if self._in_force.config is self._config:  # nothing is switched yet: it may be given up
            progress.give_way()
        if time.monotonic() - self._tended_s > TEND_S:
            with contextlib.suppress(Stopped):  # between reloads
                self.upkeep()
            self._tended_s = time.monotonic()

    def _deploy(
        self,
        apps: Mapping[str, Deployed],
        asking: list[RewardConfig],
        progress: Progress,
        *,
        patient: bool,
    ) -> None:
        """Brings versions of rewards and models up, side by side; all or none.

        `asking` have no replicas of their own: they are shown to their models. `patient`: nodes may
        be added.
        """
        from ray import serve

        if not patient:
            placement.check(apps.values())
        self._apps |= set(apps)
        try:
            bring_up(apps, progress, lambda: self._tend(progress))
            prepare(asking, self._membership)
        except BaseException:
            for app in apps:
                try:
                    serve.delete(app, _blocking=False)
                except Exception:  # noqa: BLE001 - told is why it did not come up
                    self._retiring.add([app])
            raise
        self._up |= set(apps)
