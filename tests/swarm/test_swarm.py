"""Three servers under load, while they are replaced and while one is killed."""

import time
from collections.abc import Iterator

import pytest

from containers import CHECKOUT, docker, require_engine
from load import Load, over_grpc, over_http
from stack import HOST, REPLICAS, Stack, deployed, next_healthy_server

CLASSIFIER = "ce_resnet_caltech101"
PICTURE = (CHECKOUT / "models" / CLASSIFIER / "1/golden.png").read_bytes()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_engine()
    with deployed(tmp_path_factory.mktemp("stack")) as started:
        assert len(started.servers()) == REPLICAS
        yield started


def load(stack: Stack) -> Load:
    """Eight clients: of HTTP and gRPC by HAProxy's requests, and of HTTP by connections."""
    by_request = [over_http(HOST, stack.http, f"/classify?model={CLASSIFIER}", PICTURE) for _ in range(3)]
    by_connection = [over_http(HOST, stack.connections, f"/classify?model={CLASSIFIER}", PICTURE) for _ in range(3)]
    grpc = [over_grpc(HOST, stack.grpc, CLASSIFIER, PICTURE) for _ in range(2)]
    return Load(*by_request, *by_connection, *grpc)


def test_a_rolling_update_loses_no_request(stack: Stack, capsys: pytest.CaptureFixture):
    before = stack.servers()
    with load(stack) as under_way:
        state = stack.update("--force")
    with capsys.disabled():
        print(f"\nrolling update: {under_way.told()}")
    assert state == "completed"
    assert len(stack.servers()) == REPLICAS
    assert not stack.servers() & before
    assert under_way.failed == []


def test_an_update_that_does_not_become_healthy_is_taken_back(stack: Stack, capsys: pytest.CaptureFixture):
    with load(stack) as under_way:
        state = stack.update("--env-add", "CENET_MODEL_REPOSITORY=/nowhere")
    with capsys.disabled():
        print(f"\nupdate taken back: {under_way.told()}")
    assert state == "rollback_completed"
    assert len(stack.servers()) == REPLICAS
    assert under_way.failed == []


def test_a_killed_server_loses_what_it_has_in_flight_alone(stack: Stack, capsys: pytest.CaptureFixture):
    before = stack.servers()
    victim = min(before)
    with load(stack) as under_way, next_healthy_server():
        since = time.monotonic()
        docker("kill", "--signal", "KILL", victim)
        # the command is through when the signal is sent: until the server is gone it takes requests
        docker("wait", victim)
        until = time.monotonic()
    in_flight = [sent for sent in under_way.sent if sent.was_in_flight(since, until)]
    with capsys.disabled():
        print(f"\nkilled server: {under_way.told()}")
        print(f"the server was gone {(until - since) * 1e3:.0f} ms after the signal was asked for; failed meanwhile:")
        for sent in under_way.failed:
            began, ended = ((at - since) * 1e3 for at in (sent.began, sent.ended))
            print(f"{began:.0f} to {ended:.0f} ms: {sent.failure}")
    assert [sent for sent in under_way.failed if sent not in in_flight] == []
    # the other servers have their share of the clients
    assert len(under_way.failed) <= 8 - (REPLICAS - 1)
    assert len(stack.servers()) == REPLICAS
    assert victim not in stack.servers()
