"""Targets: what is understood, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.client import RewardClient, SyncRewardClient
from rewardplane.client.target import addresses, names


@pytest.mark.parametrize(
    ("target", "want"),
    [
        ("a:1", ["dns:///a:1"]),
        (
            "rewards.team-a.svc.cluster.local:50051",
            ["dns:///rewards.team-a.svc.cluster.local:50051"],
        ),
        ("a:1, b:2,", ["dns:///a:1", "dns:///b:2"]),
        (["a:1", "b:2"], ["dns:///a:1", "dns:///b:2"]),
        (("a:1, b:2", "c:3"), ["dns:///a:1", "dns:///b:2", "dns:///c:3"]),
        ("dns:///a:1", ["dns:///a:1"]),
        ("dns://8.8.8.8/a:1", ["dns://8.8.8.8/a:1"]),
        ("dns:a:1", ["dns:a:1"]),
        ("dns:1", ["dns:///dns:1"]),
        ("[::1]:5", ["dns:///[::1]:5"]),
        ("unix:/tmp/socket", ["unix:/tmp/socket"]),
        ("unix:socket", ["unix:socket"]),
        ("ipv4:1.2.3.4:5,1.2.3.5:6", ["ipv4:1.2.3.4:5,1.2.3.5:6"]),
        (["ipv4:1.2.3.4:5,1.2.3.5:6", "a:1"], ["ipv4:1.2.3.4:5,1.2.3.5:6", "dns:///a:1"]),
        ("a:65535", ["dns:///a:65535"]),
    ],
)
def test_targets_are_read(target: str | list[str], want: list[str]) -> None:
    assert list(names(target)) == want


@pytest.mark.parametrize("make", [RewardClient, SyncRewardClient])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "no target: give one"),
        ([], "no target: give one"),
        (" , ", "no target: give one"),
        ("localhost", "has no port; want host:port"),
        ("rewards.example.com", "has no port; want host:port"),
        ("::1:50051", "has no port; want host:port"),
        ("127.0.0.1:99999", "port '99999' is no number from 1 to 65535"),
        ("127.0.0.1:0", "is no number from 1 to 65535"),
        ("127.0.0.1:", "is no number from 1 to 65535"),
        ("127.0.0.1:http", "is no number from 1 to 65535"),
        ("a:٣", "is no number from 1 to 65535"),
        ("http://a:50051/", "is a URL; the client speaks gRPC to host:port, such as 'a:50051'"),
        ("grpc://a:50051", "is a URL"),
        (":50051", "has no host"),
        ("a b:50051", "has no host"),
        ("a/b:50051", "has no host"),
        (["a:1", "b"], "'b' has no port"),
        ("a:1,b", "'b' has no port"),
        ("dns:///a", "has no port"),
        ("unix:", "names nothing"),
    ],
)
def test_what_no_service_can_be_reached_by_is_refused(
    target: str | list[str], message: str, make: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REWARDPLANE_TARGET", raising=False)
    with pytest.raises(ValueError) as caught:
        make(target)
    assert message in str(caught.value)


@given(st.one_of(st.text(), st.lists(st.text(), max_size=3)))
def test_any_text_is_read_or_refused(target: str | list[str]) -> None:
    try:
        found = names(target)
    except ValueError:
        return
    assert len(found) == len(addresses(target)) > 0


@given(
    st.lists(
        st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){0,2}:[1-9][0-9]{0,3}", fullmatch=True), min_size=1
    )
)
def test_a_list_and_its_text_are_the_same(targets: list[str]) -> None:
    assert names(targets) == names(",".join(targets)) == names(tuple(targets))
    assert names(targets) == tuple(f"dns:///{target}" for target in targets)
