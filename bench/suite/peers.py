"""Other stores on the same work as `appends`, in the same rounds.

They are built by `bench/peers/build.sh`. What is not built or does not run has no row; it is told,
with the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import subprocess
import tempfile

from . import appends, figures, syncs
from .appends import Work
from .cases import Case, Context, Results

SUITE = pathlib.Path(__file__).resolve().parent
JVM_OPTIONS = SUITE.parent / "java-peers" / "jvm.options"
JAVA_MAIN = "io.cairnlog.peers.JavaPeers"
# How long a peer appends in a round.
SECONDS = 1.0

ASYNC = [Work("async", 1024, 1), Work("async", 100, 1)]
WAITERS = [Work("sync", 1024, threads) for threads in (1, 16, 64, 128)]
INFLIGHT = [Work("sync", 1024, 1, inflight) for inflight in (64, 512)]


@dataclasses.dataclass(frozen=True)
class Peer:
    """A store, and what it can do."""

    # As the programs know it.
    word: str
    # As people do, with its version.
    name: str
    works: list[Work]
    java: bool = False
    # How many times as fast cairnlog is to be.
    targets: dict[Work, float] = dataclasses.field(default_factory=dict)


PEERS = [
    Peer(
        "rocketmq",
        "RocketMQ 5.3.3 (Java)",
        ASYNC + WAITERS + INFLIGHT,
        java=True,
        targets={ASYNC[0]: 8, ASYNC[1]: 12, WAITERS[2]: 3, INFLIGHT[1]: 7},
    ),
    Peer(
        "chronicle",
        "Chronicle Queue 5.27ea11 (Java)",
        ASYNC + WAITERS[:1],
        java=True,
        targets={ASYNC[0]: 2, ASYNC[1]: 1},
    ),
    Peer(
        "raft-engine", "raft-engine 0.4.2", ASYNC + WAITERS, targets=dict.fromkeys(WAITERS, 1.0)
    ),
    Peer("rocksdb", "RocksDB 11.8.1", ASYNC + WAITERS),
    Peer("okaywal", "okaywal 0.3.1", WAITERS),
    Peer("walrus", "walrus-rust 0.2.0", ASYNC + WAITERS),
    Peer("fjall", "fjall 3.1.13", ASYNC + WAITERS),
    Peer("rocketmq", "rocketmq-store 1.0.0 (Rust)", ASYNC + WAITERS),
]


def built(context: Context) -> list[Peer]:
    """Those that there is a program for."""
    have = {False: rust_program(context), True: context.peers / "java" / "classes"}
    return [peer for peer in PEERS if have[peer.java].exists()]


def rust_program(context: Context) -> pathlib.Path:
    """Drives the stores in Rust."""
    return context.peers / "release" / "peer-bench"


def command(
    context: Context, peer: Peer, work: Work, directory: str, seconds: float
) -> list[str]:
    """What measures a peer."""
    if peer.java:
        path = f"{context.peers}/java/classes:{context.peers}/java/lib/*"
        words = ["java", f"@{JVM_OPTIONS}", "-cp", path, JAVA_MAIN]
    else:
        words = [str(rust_program(context))]
    words += ["--peer", peer.word, *work.arguments(), "--seconds", str(seconds)]
    return [*words, directory]


def measure(peer: Peer, work: Work, context: Context) -> dict:
    """One round of one peer; why there is none in `failure`."""
    # One that was killed leaves its files behind.
    with tempfile.TemporaryDirectory(prefix="peer-", dir=context.directory) as directory:
        words = functools.partial(command, context, peer, work, directory)
        try:
            return syncs.measured(context.counter, words, min(SECONDS, context.seconds))
        except subprocess.TimeoutExpired:
            failure = f"did not end within {syncs.TIMEOUT_SECONDS} s"
        except subprocess.CalledProcessError as error:
            failure = (error.stderr.strip().splitlines() or [str(error)])[0]
    return {"failure": failure}


def case_name(peer: Peer, work: Work) -> str:
    """Of one peer on one work."""
    return f"{peer.name}: {work}"


def cases(context: Context) -> list[Case]:
    """Each peer on each work it can, in the group of that work."""
    return [
        appends.case(case_name(peer, work), functools.partial(measure, peer, work), work)
        for peer in built(context)
        for work in peer.works
        if work in appends.works(context)
    ]


def pairs(peer: Peer, work: Work, results: Results) -> list[tuple[dict, dict]]:
    """The rounds of cairnlog and of the peer, those that the peer came through."""
    both = zip(results[str(work)], results[case_name(peer, work)], strict=True)
    return [(ours, theirs) for ours, theirs in both if "failure" not in theirs]


def rows(context: Context, results: Results) -> list[dict]:
    """One for each peer and work."""
    found = []
    for work in appends.works(context):
        for peer in built(context):
            rounds = pairs(peer, work, results) if work in peer.works else []
            if rounds:
                found.append(row(peer, work, rounds))
    return found


def row(peer: Peer, work: Work, rounds: list[tuple[dict, dict]]) -> dict:
    """One peer on one work. The value is the peer's; in place of a floor there is cairnlog, and the
    ratio, with its target, is how many times as fast cairnlog is."""
    target = peer.targets.get(work)
    theirs = [theirs for _, theirs in rounds]
    ours_rates = [ours["messages_per_second"] for ours, _ in rounds]
    rates = [theirs["messages_per_second"] for theirs in theirs]
    judged = figures.row(
        case_name(peer, work),
        "records/s",
        ours_rates,
        "cairnlog",
        rates,
        None if target is None else {"ratio_at_least": target},
    )
    return judged | {
        "value": judged["floor"],
        "floor": judged["value"],
        "peer": peer.name,
        "work": str(work),
        "latency": figures.latency(theirs),
        "syncs_per_record": syncs.per_record(theirs),
    }


def remarks(context: Context, results: Results) -> list[str]:
    """Who is missing, and why."""
    have = built(context)
    missing = [f"{peer.name} is not built." for peer in PEERS if peer not in have]
    failures = {
        f"{case.name}: {result['failure']}"
        for case in cases(context)
        for result in results[case.name]
        if "failure" in result
    }
    return missing + sorted(failures)
