"""Power out of the kernel's energy counters, in folders laid out as Linux lays them out."""

from __future__ import annotations

from pathlib import Path

from device.profiling.power import UNKNOWN, measure_power

RANGE = 1_000_000


def zone(root: Path, number: str, name: str, energy_uj: int = 0) -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


def spend(counter: Path, microjoules: int) -> None:
    counter.write_text(str((int(counter.read_text()) + microjoules) % (RANGE + 1)))


def test_work_that_moves_a_package_counter_is_measured(tmp_path: Path) -> None:
    package, other = zone(tmp_path, "0", "package-0"), zone(tmp_path, "1", "package-1")
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        if calls <= 10:
            spend(package, 700)
            spend(other, 300)

    power = measure_power(work, root=tmp_path, seconds=0.05)
    assert power.source == "measured"
    assert power.idle_watts == 0
    assert 0 < power.active_watts <= 0.01 / 0.05


def test_a_counter_that_starts_again_has_not_gone_backwards(tmp_path: Path) -> None:
    package = zone(tmp_path, "0", "package-0", energy_uj=RANGE - 10)
    done = False

    def work() -> None:
        nonlocal done
        if not done:
            spend(package, 1000)
        done = True

    power = measure_power(work, root=tmp_path, seconds=0.05)
    assert power.source == "measured"
    assert 0 < power.active_watts <= 0.001 / 0.05


def test_parts_of_a_package_and_the_whole_platform_are_not_counted_again(tmp_path: Path) -> None:
    core, platform = zone(tmp_path, "0:0", "core"), zone(tmp_path, "1", "psys")

    def work() -> None:
        spend(core, 10)
        spend(platform, 10)

    assert measure_power(work, root=tmp_path, seconds=0.02) == UNKNOWN


def test_counters_that_stand_still_or_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    assert measure_power(lambda: None, root=tmp_path / "missing", seconds=0.02) == UNKNOWN
    counter = zone(tmp_path, "0", "package-0")
    assert measure_power(lambda: None, root=tmp_path, seconds=0.02) == UNKNOWN
    counter.unlink()
    assert measure_power(lambda: None, root=tmp_path, seconds=0.02) == UNKNOWN
    zone(tmp_path, "1", "package-1").write_text("rubbish")
    assert measure_power(lambda: None, root=tmp_path, seconds=0.02) == UNKNOWN
