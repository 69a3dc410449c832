"""The other door to the services: one function a job. ``python -m arq workers.WorkerSettings``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from arq import cron
from arq.connections import RedisSettings
from arq.cron import CronJob

from infra import logging, queue, transit
from infra.queue import Job
from infra.settings import get_settings
from workers import (
    audit,
    closings,
    exports,
    identity,
    key_rotations,
    ledger,
    notices,
    payments,
    refunds,
    risk,
    topups,
)
from workers.outbox import Jobs
from workers.process import Process, open_process

jobs = Jobs(
    {
        Job.REVIEW_REGISTRATION: identity.review_registration,
        Job.REVIEW_IDENTITY: identity.review_identity,
        Job.SEND_CODE: identity.send_code,
        Job.START_TOP_UP: topups.start_top_up,
        Job.SETTLE_TOP_UP: topups.settle_top_up,
        Job.REVIEW_REFUND: refunds.review_refund,
        Job.ROTATE_KEYS: key_rotations.rotate_keys,
        Job.EXPORT_DATA: exports.export_data,
    },
    batches={
        Job.NOTIFY_POSTINGS: notices.notify_postings,
        Job.SEND_NOTICE: notices.send_notices,
    },
)


async def run_outbox(_ctx: dict[str, Any], ids: list[int]) -> None:
    """Do the jobs of these outbox rows."""
    await jobs.run(ids)


async def relay_outbox(ctx: dict[str, Any]) -> None:
    """Hand over what a crash left in the outbox."""
    process: Process = ctx["process"]
    process.relay.wake()


async def startup(ctx: dict[str, Any]) -> None:
    """Open what jobs need; the worker's own login is the one that may settle bank money."""
    settings = get_settings()
    logging.configure(level=settings.log_level, development=settings.development)
    url = (settings.worker_database_url or settings.database_url).get_secret_value()
    ctx["stack"] = AsyncExitStack()
    ctx["process"] = await ctx["stack"].enter_async_context(
        open_process(settings, url, listen=False)
    )
    ctx["process"].relay.wake()


async def shutdown(ctx: dict[str, Any]) -> None:
    """Drain the lanes and close; running jobs were awaited by then."""
    await ctx["stack"].aclose()


def _regularly(function: Callable[[], Awaitable[object]], **when: Any) -> CronJob:
    """A cron job of a function without arguments."""

    async def run(ctx: dict[str, Any]) -> None:
        await function()

    return cron(run, name=f"cron:{function.__name__}", **when)


def _redis() -> RedisSettings:
    settings = get_settings()
    # Here, because arq signs in to Valkey before it calls anything of ours.
    transit.ensure(settings, serves=False)
    url = settings.redis_url.get_secret_value()
    return queue.redis_settings(url) if url else RedisSettings()


_EVERY_5_SECONDS = set(range(0, 60, 5))
_EVERY_20_SECONDS = {0, 20, 40}


class WorkerSettings:
    """arq's own form of configuration."""

    functions: ClassVar[list[Any]] = [run_outbox]
    cron_jobs: ClassVar[list[Any]] = [
        cron(relay_outbox, second=_EVERY_5_SECONDS),
        _regularly(risk.scan_anomalies, second=_EVERY_20_SECONDS, timeout=50),
        _regularly(topups.poll_top_ups, second={30}),
        _regularly(payments.expire_payments, second={15}),
        _regularly(audit.seal_audit, second={45}, timeout=50, run_at_startup=True),
        _regularly(closings.close_accounts, second={15, 45}, timeout=28),
        _regularly(exports.expire_exports, minute={2, 17, 32, 47}),
        _regularly(ledger.verify_ledger, minute={7}, timeout=600),
        _regularly(ledger.ensure_partitions, hour={3}, minute={17}),
        _regularly(ledger.forget_proofs, hour={3}, minute={27}),
        _regularly(identity.forget_identity, hour={3}, minute={37}),
        _regularly(identity.remind_of_passwords, hour={2}, minute={7}, timeout=600),
    ]
    on_startup = startup
    on_shutdown = shutdown
    redis_settings = _redis()
    queue_name = queue.QUEUE
    job_serializer = staticmethod(queue.encode)
    job_deserializer = staticmethod(queue.decode)
    max_jobs = 32
    queue_read_limit = 1000
    poll_delay = 0.02
    keep_result = 0
    job_timeout = 60
    job_completion_wait = 10
    max_tries = 3
    health_check_interval = 15
