"""What has to go for another bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_bundle import make_bundle

from gateway.residency import FACTOR, FIXED_BYTES, Displace, Resident, Room, estimated_bytes

NOW = 1000.0


def resident(
    name: str, *, size: int = 10, newest: bool = False, used: float = 0.0, stays_until: float = 0.0
) -> Resident:
    return Resident(name, size, newest, used, stays_until)


def gone(room: Room, residents: list[Resident], displace: Displace, size: int = 10) -> list[str] | None:
    victims = room.make(size, residents, displace, NOW)
    return None if victims is None else [victim.bundle_id for victim in victims]


def test_nothing_goes_while_there_is_room() -> None:
    assert gone(Room(max_bytes=30), [resident("a"), resident("b")], Displace.NOTHING) == []
    assert gone(Room(), [resident(str(n)) for n in range(63)], Displace.ANY) == []


def test_the_least_recently_used_goes_first_and_newest_versions_last() -> None:
    residents = [
        resident("newest", newest=True, used=1),
        resident("idle", used=2),
        resident("busy", used=900),
    ]
    for size, expected in ((10, ["idle"]), (20, ["idle", "busy"]), (30, ["idle", "busy", "newest"])):
        assert gone(Room(max_bytes=30), residents, Displace.ANY, size) == expected


@pytest.mark.parametrize(
    ("displace", "expected"), [(Displace.NOTHING, None), (Displace.OLDER, ["old"]), (Displace.ANY, ["old", "newest"])]
)
def test_what_may_go_depends_on_what_it_goes_for(displace: Displace, expected: list[str] | None) -> None:
    residents = [resident("newest", newest=True), resident("old", used=5)]
    room = Room(max_bytes=20)
    assert gone(room, residents, displace, 20 if displace is Displace.ANY else 10) == expected
    assert gone(room, residents[:1], Displace.OLDER, 20) is None


def test_what_was_loaded_for_a_request_a_moment_ago_stays() -> None:
    residents = [resident("a", used=NOW - 59, stays_until=NOW + 1), resident("b", used=NOW, stays_until=NOW)]
    assert gone(Room(max_bytes=20), residents, Displace.ANY) == ["b"]
    assert gone(Room(max_bytes=20), residents, Displace.ANY, 20) is None


def test_the_number_of_bundles_is_limited_too() -> None:
    residents = [resident("a", used=2), resident("b", used=1)]
    assert gone(Room(max_bundles=2), residents, Displace.ANY) == ["b"]
    assert gone(Room(max_bundles=2), residents, Displace.NOTHING) is None


def test_what_is_larger_than_all_room_is_never_held() -> None:
    assert Room(max_bytes=10).holds(10)
    assert not Room(max_bytes=10).holds(11)
    assert Room().holds(1 << 60)


def test_the_estimate_follows_from_the_files(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "a.specnet")
    size = (tmp_path / "a.specnet").stat().st_size
    # the file has a manifest and the zip's own structure besides
    assert FIXED_BYTES < estimated_bytes(manifest) <= FIXED_BYTES + FACTOR * size
