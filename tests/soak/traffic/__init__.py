"""Kinds of traffic, each a function that makes one request, looks at its answer and names the outcome."""

from collections.abc import Awaitable, Callable

from traffic import bad_grpc, bad_http, cancelled, good_grpc, good_http, hurried, slow
from world import World

Kind = Callable[[World], Awaitable[str]]

# how often each is asked, as shares
KINDS: dict[Kind, float] = {
    kind: share
    for group in (good_http, good_grpc, bad_http, bad_grpc, cancelled, slow, hurried)
    for kind, share in group.TRAFFIC.items()
}


def name_of(kind: Kind) -> str:
    return f"{kind.__module__.removeprefix('traffic.')}.{kind.__name__}"
