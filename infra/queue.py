"""The names of the jobs, and the way to arq. The outbox is the only way in."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from arq.connections import ArqRedis, RedisSettings

from infra import valkey

QUEUE = "wallet:jobs"
_TIMEOUT_SECONDS = 5.0


class Job(StrEnum):
    """Every job that an outbox row can ask for; ``workers`` has a function for each."""

    NOTIFY_POSTINGS = "notify_postings"
    REVIEW_REGISTRATION = "review_registration"
    REVIEW_IDENTITY = "review_identity"
    REVIEW_REFUND = "review_refund"
    START_TOP_UP = "start_top_up"
    SETTLE_TOP_UP = "settle_top_up"
    SEND_CODE = "send_code"
    SEND_NOTICE = "send_notice"
    ROTATE_KEYS = "rotate_keys"
    EXPORT_DATA = "export_data"


def encode(value: Any) -> bytes:
    """arq's serializer. With its default, pickle, whoever writes to Valkey runs code here."""
    return msgspec.msgpack.encode(value, enc_hook=str)


decode = msgspec.msgpack.decode


def redis_settings(url: str) -> RedisSettings:
    """arq's view of ``WALLET_REDIS_URL`` (``redis://``, ``rediss://`` or ``unix://``)."""
    return valkey.for_arq(url)


async def open_pool(url: str) -> ArqRedis:
    """A client that can hand jobs to arq; it gives a Valkey that hangs up after five seconds."""
    pool = ArqRedis(
        valkey.pool(url, socket_timeout=_TIMEOUT_SECONDS),
        job_serializer=encode,
        job_deserializer=decode,
        default_queue_name=QUEUE,
    )
    pool.auto_close_connection_pool = True  # it is ours alone
    return pool
