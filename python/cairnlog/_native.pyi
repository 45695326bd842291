import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeAlias, final, overload

from _typeshed import ReadableBuffer

from .errors import Error
from .outcome import ReadOutcome
from .push import PushConsumer

_Size: TypeAlias = int | str
_Path: TypeAlias = str | os.PathLike[str]
_Paths: TypeAlias = _Path | Sequence[_Path]
_Type: TypeAlias = type[BaseException] | None
_Raised: TypeAlias = BaseException | None
_Trace: TypeAlias = TracebackType | None
_Filter: TypeAlias = Filter | str | None
_Topics: TypeAlias = str | Iterable[str] | Mapping[str, Filter] | Mapping[str, _Filter]

__all__ = [
    "OPTION_NAMES",
    "READ_OUTCOMES",
    "STATUSES",
    "VERSION",
    "AppendResult",
    "Batch",
    "CompletionGroup",
    "Consumer",
    "Delivery",
    "Filter",
    "GroupProgress",
    "MappedBytes",
    "Message",
    "MessageView",
    "Positions",
    "QueueAppender",
    "QueueRange",
    "RecoveryReport",
    "RemovedFiles",
    "Scan",
    "Store",
    "StoreStats",
    "Tail",
    "TopicStats",
    "Transaction",
    "begin_child",
    "close_all",
    "encode_batch",
    "hold_locks",
    "next_diagnostics",
    "release_locks",
    "set_diagnostics_level",
    "stop_diagnostics",
]

VERSION: str
STATUSES: list[tuple[int, str]]
READ_OUTCOMES: list[tuple[int, str]]
OPTION_NAMES: list[tuple[str, str]]

@final
class AppendResult:
    @property
    def physical_offset(self) -> int: ...
    @property
    def end_offset(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def queue_offset(self) -> int: ...
    @property
    def queue_id(self) -> int: ...
    @property
    def message_count(self) -> int: ...
    @property
    def store_timestamp_ms(self) -> int: ...
    @property
    def store_host(self) -> tuple[str, int]: ...
    @property
    def offset_message_id(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Message:
    def __new__(
        cls,
        topic: str,
        body: ReadableBuffer,
        *,
        queue_id: int = 0,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> Self: ...
    @property
    def topic(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def queue_id(self) -> int: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def properties(self) -> dict[str, str]: ...

def encode_batch(messages: Iterable[Message]) -> bytes: ...

@final
class MappedBytes:
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

    def __len__(self) -> int: ...

@final
class MessageView:
    @property
    def body(self) -> memoryview: ...
    @property
    def record(self) -> memoryview: ...
    @property
    def topic(self) -> str: ...
    @property
    def queue_id(self) -> int: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def properties(self) -> dict[str, str]: ...
    @property
    def physical_offset(self) -> int: ...
    @property
    def end_offset(self) -> int: ...
    @property
    def queue_offset(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def magic(self) -> int: ...
    @property
    def body_crc(self) -> int: ...
    @property
    def flag(self) -> int: ...
    @property
    def sys_flag(self) -> int: ...
    @property
    def born_timestamp_ms(self) -> int: ...
    @property
    def born_host(self) -> tuple[str, int]: ...
    @property
    def store_timestamp_ms(self) -> int: ...
    @property
    def store_host(self) -> tuple[str, int]: ...
    @property
    def reconsume_times(self) -> int: ...
    @property
    def prepared_transaction_offset(self) -> int: ...
    @property
    def offset_message_id(self) -> str: ...
    def property(self, name: str) -> str | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Batch(Sequence[MessageView]):
    @property
    def outcome(self) -> ReadOutcome: ...
    @property
    def next_offset(self) -> int: ...
    @property
    def min_offset(self) -> int: ...
    @property
    def max_offset(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def index(self, value: Any, start: int = 0, stop: int = ...) -> int: ...
    def count(self, value: Any) -> int: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> MessageView: ...
    @overload
    def __getitem__(self, key: slice, /) -> list[MessageView]: ...
    def __iter__(self) -> Iterator[MessageView]: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, exception_type: _Type, exception: _Raised, traceback: _Trace, /) -> None: ...

@final
class Scan:
    @property
    def offset(self) -> int: ...
    def next_message(self, timeout: float | None = None) -> MessageView | None: ...
    def close(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> MessageView: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, exception_type: _Type, exception: _Raised, traceback: _Trace, /) -> None: ...

@final
class Filter:
    @staticmethod
    def all() -> Filter: ...
    @staticmethod
    def tags(expression: str) -> Filter: ...
    @staticmethod
    def sql(expression: str) -> Filter: ...
    @property
    def is_all(self) -> bool: ...
    def matches(self, message: MessageView) -> bool: ...

@final
class Tail:
    @property
    def offset(self) -> int: ...
    @property
    def topic(self) -> str: ...
    @property
    def queue_id(self) -> int: ...
    def next_message(self, timeout: float | None = None) -> MessageView | None: ...
    def close(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> MessageView: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, exception_type: _Type, exception: _Raised, traceback: _Trace, /) -> None: ...

@final
class Delivery:
    @property
    def message(self) -> MessageView: ...
    @property
    def topic(self) -> str: ...
    @property
    def reconsume_times(self) -> int: ...
    def acknowledge(self) -> bool: ...
    def retry_later(self) -> bool: ...

@final
class Consumer:
    def poll(self, max_messages: int = 32, timeout: float | None = None) -> list[Delivery]: ...
    def acknowledge(self, delivery: Delivery) -> bool: ...
    def retry_later(self, delivery: Delivery) -> bool: ...
    def seek(self, topic: str, queue_id: int, offset: int) -> bool: ...
    def commit(self) -> None: ...
    @property
    def assigned(self) -> list[tuple[str, int]]: ...
    @property
    def group(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def _stop(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Delivery: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, exception_type: _Type, exception: _Raised, traceback: _Trace, /) -> None: ...

@final
class GroupProgress:
    @property
    def topic(self) -> str: ...
    @property
    def queue_id(self) -> int: ...
    @property
    def committed(self) -> int: ...
    @property
    def min_offset(self) -> int: ...
    @property
    def max_offset(self) -> int: ...
    @property
    def lag(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class RemovedFiles:
    @property
    def files(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Transaction:
    @property
    def half(self) -> AppendResult: ...
    @property
    def half_offset(self) -> int: ...
    @property
    def id(self) -> str | None: ...
    def commit(self) -> AppendResult: ...
    def rollback(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, exception_type: _Type, exception: _Raised, traceback: _Trace, /) -> None: ...

@final
class QueueRange:
    @property
    def first(self) -> int: ...
    @property
    def next(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Positions:
    @property
    def min_offset(self) -> int: ...
    @property
    def max_offset(self) -> int: ...
    @property
    def committed_offset(self) -> int: ...
    @property
    def durable_offset(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class RecoveryReport:
    @property
    def created(self) -> bool: ...
    @property
    def clean_stop(self) -> bool: ...
    @property
    def files(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def min_offset(self) -> int: ...
    @property
    def end_offset(self) -> int: ...
    @property
    def damage(self) -> str | None: ...
    @property
    def bytes_set_aside(self) -> int: ...
    @property
    def set_aside(self) -> Path | None: ...
    @property
    def files_removed(self) -> int: ...
    @property
    def duration_seconds(self) -> float: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class TopicStats:
    @property
    def messages(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class StoreStats:
    @property
    def messages(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def syncs(self) -> int: ...
    @property
    def append_latency_counts(self) -> list[int]: ...
    @property
    def append_latency_max_ms(self) -> int: ...
    @property
    def delayed_delivered(self) -> int: ...
    @property
    def delayed_undeliverable(self) -> int: ...
    @property
    def topics(self) -> dict[str, TopicStats]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class CompletionGroup:
    def __new__(
        cls, callback: Callable[[list[tuple[int, AppendResult | BaseException]]], object]
    ) -> Self: ...

@final
class QueueAppender:
    @property
    def topic(self) -> str: ...
    @property
    def queue_id(self) -> int: ...
    def append(
        self,
        body: ReadableBuffer,
        *,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> AppendResult: ...
    def append_async(
        self,
        body: ReadableBuffer,
        *,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> Future[AppendResult]: ...

@final
class Store:
    @classmethod
    def open(
        cls,
        path: _Path,
        *,
        create_if_missing: bool | None = ...,
        commit_log_paths: _Paths | None = ...,
        read_only_commit_log_paths: _Paths | None = ...,
        segment_size_bytes: _Size | None = ...,
        flush_mode: Literal["async", "sync"] | None = ...,
        sync_flush_timeout_ms: int | None = ...,
        flush_interval_ms: int | None = ...,
        flush_least_pages: int | None = ...,
        flush_thorough_interval_ms: int | None = ...,
        flush_timed: bool | None = ...,
        wake_flush_when_append: bool | None = ...,
        transient_store_pool_enable: bool | None = ...,
        transient_store_pool_size: int | None = ...,
        fast_fail_if_no_buffer: bool | None = ...,
        commit_interval_ms: int | None = ...,
        commit_least_pages: int | None = ...,
        commit_thorough_interval_ms: int | None = ...,
        wake_commit_when_append: bool | None = ...,
        max_message_size_bytes: _Size | None = ...,
        append_lock: Literal["spin", "mutex", "adaptive"] | None = ...,
        page_cache_busy_timeout_ms: int | None = ...,
        warm_mapped_file_enable: bool | None = ...,
        reserve_ahead_bytes: _Size | None = ...,
        append_record_crc: bool | None = ...,
        check_crc_on_recover: bool | None = ...,
        damage_policy: Literal["refuse", "truncate"] | None = ...,
        consume_queue_enable: bool | None = ...,
        consume_queue_file_size_bytes: _Size | None = ...,
        batch_consume_queue_file_size_bytes: _Size | None = ...,
        max_open_queue_files: _Size | None = ...,
        flush_consume_queue_interval_ms: int | None = ...,
        message_index_enable: bool | None = ...,
        max_hash_slot_num: _Size | None = ...,
        max_index_num: _Size | None = ...,
        flush_consumer_offset_interval_ms: int | None = ...,
        read_uncommitted: bool | None = ...,
        message_delay_level: str | None = ...,
        schedule_enable: bool | None = ...,
        flush_delay_offset_interval_ms: int | None = ...,
        transaction_timeout_ms: int | None = ...,
        transaction_check_max: int | None = ...,
        transaction_check_interval_ms: int | None = ...,
        retention_enable: bool | None = ...,
        file_reserved_time_hours: int | None = ...,
        delete_when: str | None = ...,
        max_total_bytes: int | None = ...,
        delete_file_batch_max: int | None = ...,
        delete_commit_log_files_interval_ms: int | None = ...,
        clean_resource_interval_ms: int | None = ...,
        clean_file_forcibly_enable: bool | None = ...,
        disk_max_used_space_ratio: int | None = ...,
        disk_space_clean_forcibly_ratio: int | None = ...,
        disk_space_warning_ratio: int | None = ...,
        store_host: str | tuple[str, int] | None = ...,
        **rocketmq_options: bool | int | str | None,
    ) -> Self: ...
    @staticmethod
    def plan_recovery(
        path: _Path,
        *,
        create_if_missing: bool | None = ...,
        commit_log_paths: _Paths | None = ...,
        read_only_commit_log_paths: _Paths | None = ...,
        segment_size_bytes: _Size | None = ...,
        flush_mode: Literal["async", "sync"] | None = ...,
        sync_flush_timeout_ms: int | None = ...,
        flush_interval_ms: int | None = ...,
        flush_least_pages: int | None = ...,
        flush_thorough_interval_ms: int | None = ...,
        flush_timed: bool | None = ...,
        wake_flush_when_append: bool | None = ...,
        transient_store_pool_enable: bool | None = ...,
        transient_store_pool_size: int | None = ...,
        fast_fail_if_no_buffer: bool | None = ...,
        commit_interval_ms: int | None = ...,
        commit_least_pages: int | None = ...,
        commit_thorough_interval_ms: int | None = ...,
        wake_commit_when_append: bool | None = ...,
        max_message_size_bytes: _Size | None = ...,
        append_lock: Literal["spin", "mutex", "adaptive"] | None = ...,
        page_cache_busy_timeout_ms: int | None = ...,
        warm_mapped_file_enable: bool | None = ...,
        reserve_ahead_bytes: _Size | None = ...,
        append_record_crc: bool | None = ...,
        check_crc_on_recover: bool | None = ...,
        damage_policy: Literal["refuse", "truncate"] | None = ...,
        consume_queue_enable: bool | None = ...,
        consume_queue_file_size_bytes: _Size | None = ...,
        batch_consume_queue_file_size_bytes: _Size | None = ...,
        max_open_queue_files: _Size | None = ...,
        flush_consume_queue_interval_ms: int | None = ...,
        message_index_enable: bool | None = ...,
        max_hash_slot_num: _Size | None = ...,
        max_index_num: _Size | None = ...,
        flush_consumer_offset_interval_ms: int | None = ...,
        read_uncommitted: bool | None = ...,
        message_delay_level: str | None = ...,
        schedule_enable: bool | None = ...,
        flush_delay_offset_interval_ms: int | None = ...,
        transaction_timeout_ms: int | None = ...,
        transaction_check_max: int | None = ...,
        transaction_check_interval_ms: int | None = ...,
        retention_enable: bool | None = ...,
        file_reserved_time_hours: int | None = ...,
        delete_when: str | None = ...,
        max_total_bytes: int | None = ...,
        delete_file_batch_max: int | None = ...,
        delete_commit_log_files_interval_ms: int | None = ...,
        clean_resource_interval_ms: int | None = ...,
        clean_file_forcibly_enable: bool | None = ...,
        disk_max_used_space_ratio: int | None = ...,
        disk_space_clean_forcibly_ratio: int | None = ...,
        disk_space_warning_ratio: int | None = ...,
        store_host: str | tuple[str, int] | None = ...,
        **rocketmq_options: bool | int | str | None,
    ) -> RecoveryReport: ...
    def append(
        self,
        topic: str,
        body: ReadableBuffer,
        *,
        queue_id: int = 0,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> AppendResult: ...
    def append_async(
        self,
        topic: str,
        body: ReadableBuffer,
        *,
        queue_id: int = 0,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> Future[AppendResult]: ...
    def append_batch(
        self,
        topic: str,
        items: ReadableBuffer,
        *,
        queue_id: int = 0,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> AppendResult: ...
    def append_inner_batch(
        self,
        topic: str,
        items: ReadableBuffer,
        *,
        queue_id: int = 0,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        flag: int = ...,
        sys_flag: int = ...,
        born_timestamp_ms: int | None = ...,
        born_host: tuple[str, int] | None = ...,
        reconsume_times: int = ...,
        prepared_transaction_offset: int = ...,
        delay_level: int = ...,
    ) -> AppendResult: ...
    def append_many(self, messages: Iterable[Message]) -> list[AppendResult]: ...
    def _append_to_group(
        self, group: CompletionGroup, token: int, message: Message
    ) -> AppendResult: ...
    def queue(self, topic: str, queue_id: int) -> QueueAppender: ...
    def flush(self) -> None: ...
    def wait_durable(self, offset: int, timeout: float | None = None) -> None: ...
    def read_at(self, offset: int) -> MessageView: ...
    def read_log(
        self, from_offset: int, *, max_messages: int = 32, max_bytes: int = 4194304
    ) -> Batch: ...
    def scan(self, from_offset: int | None = None) -> Scan: ...
    def tail_log(self, from_offset: int | None = None, *, timeout: float | None = None) -> Scan: ...
    def read(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        *,
        max_messages: int = 32,
        max_bytes: int = 134217728,
        filter: Filter | str | None = None,
    ) -> Batch: ...
    def tail(
        self,
        topic: str,
        queue_id: int = 0,
        offset: int = 0,
        *,
        filter: Filter | str | None = None,
        timeout: float | None = None,
    ) -> Tail: ...
    def queue_range(self, topic: str, queue_id: int) -> QueueRange | None: ...
    def offset_at_time(
        self,
        topic: str,
        queue_id: int,
        timestamp_ms: int,
        *,
        boundary: Literal["lower", "upper"] = "lower",
    ) -> int | None: ...
    def topics(self) -> list[str]: ...
    def queues_of(self, topic: str) -> list[int]: ...
    def query_key(
        self,
        topic: str,
        key: str,
        *,
        begin_ms: int = 0,
        end_ms: int | None = None,
        max_messages: int = 64,
    ) -> list[MessageView]: ...
    def find_by_message_id(self, topic: str, id: str) -> MessageView | None: ...
    def wait_message(
        self, topic: str, queue_id: int, offset: int, timeout: float | None = None
    ) -> bool: ...
    def wait_dispatched(self, offset: int, timeout: float | None = None) -> bool: ...
    def consumer(
        self,
        group: str,
        topics: _Topics,
        *,
        filter: _Filter = None,
        timeout: float | None = None,
        mode: Literal["clustering", "broadcasting"] = ...,
        order: Literal["concurrent", "orderly"] = ...,
        start_from: Literal["last", "first"] | int = ...,
        max_in_hand: int = ...,
        consume_timeout_ms: int = ...,
        max_reconsume_times: int = ...,
        suspend_queue_ms: int = ...,
    ) -> Consumer: ...
    @overload
    def subscribe(
        self,
        group: str,
        topics: _Topics,
        listener: Callable[[Delivery], object],
        *,
        threads: int = 4,
        max_batch: None = None,
        filter: _Filter = None,
        mode: Literal["clustering", "broadcasting"] = ...,
        order: Literal["concurrent", "orderly"] = ...,
        start_from: Literal["last", "first"] | int = ...,
        max_in_hand: int = ...,
        consume_timeout_ms: int = ...,
        max_reconsume_times: int = ...,
        suspend_queue_ms: int = ...,
    ) -> PushConsumer: ...
    @overload
    def subscribe(
        self,
        group: str,
        topics: _Topics,
        listener: Callable[[list[Delivery]], object],
        *,
        threads: int = 4,
        max_batch: int,
        filter: _Filter = None,
        mode: Literal["clustering", "broadcasting"] = ...,
        order: Literal["concurrent", "orderly"] = ...,
        start_from: Literal["last", "first"] | int = ...,
        max_in_hand: int = ...,
        consume_timeout_ms: int = ...,
        max_reconsume_times: int = ...,
        suspend_queue_ms: int = ...,
    ) -> PushConsumer: ...
    def groups(self) -> list[str]: ...
    def group_progress(self, group: str) -> list[GroupProgress]: ...
    def consumer_offset(self, group: str, topic: str, queue_id: int) -> int | None: ...
    def commit_offset(self, group: str, topic: str, queue_id: int, offset: int) -> None: ...
    def persist_offsets(self) -> None: ...
    def begin_transaction(self, message: Message) -> Transaction: ...
    def commit_transaction(self, half_offset: int) -> AppendResult: ...
    def rollback_transaction(self, half_offset: int) -> None: ...
    def open_transactions(self) -> list[int]: ...
    def remove_expired(self) -> RemovedFiles: ...
    def remove_before(self, offset: int) -> RemovedFiles: ...
    @property
    def dispatched_offset(self) -> int: ...
    @property
    def dispatch_error(self) -> Error | None: ...
    def positions(self) -> Positions: ...
    def next_queue_offset(self, topic: str, queue_id: int) -> int: ...
    def stats(self) -> StoreStats: ...
    @property
    def recovery_report(self) -> RecoveryReport: ...
    @property
    def path(self) -> Path: ...
    @property
    def segment_size_bytes(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, exception_type: _Type, exception: _Raised, traceback: _Trace, /) -> None: ...

def close_all() -> None: ...
def hold_locks() -> None: ...
def release_locks() -> None: ...
def begin_child() -> None: ...
def set_diagnostics_level(level: int) -> None: ...
def next_diagnostics(timeout: float) -> tuple[list[tuple[int, str, str]], int] | None: ...
def stop_diagnostics() -> None: ...
