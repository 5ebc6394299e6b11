from __future__ import annotations

from pathlib import Path

import pytest

from specnet.datasets.simulation import load_minerals, minerals_path
from specnet.datasets.simulation.configuration import SimulationConfig
from specnet.errors import DatasetError

GOOD = """
[sources]
a2001 = "A. Author (2001) A journal 1, 2-3"
[[mineral]]
name = "quartz"
formula = "SiO2"
family = "silica"
source = ["a2001"]
peaks = [[464, 1.0, 7], [206, 0.3, 20]]
[[mineral]]
name = "calcite"
formula = "CaCO3"
family = "carbonates"
source = ["a2001"]
peaks = [[1086, 1.0, 5]]
"""


def test_the_table_has_many_minerals_each_with_a_source_and_a_band_on_the_axis():
    minerals = load_minerals()
    low, high = SimulationConfig().axis_range
    assert len(minerals) >= 28
    for mineral in minerals:
        assert any(low < peak.position < high for peak in mineral.peaks), mineral.name
        assert any(str(year) in mineral.source for year in range(1960, 2026)), mineral.name


def test_the_table_has_families_that_are_easily_confused():
    families = [mineral.family for mineral in load_minerals()]
    for family in ("carbonates", "sulphates", "feldspars", "iron oxides", "titanium dioxides", "olivines", "pyroxenes"):
        assert families.count(family) >= 2, family


@pytest.mark.parametrize(
    ("name", "strongest"),
    [("quartz", 464), ("calcite", 1086), ("diamond", 1332), ("anatase", 144), ("gypsum", 1008), ("forsterite", 856)],
)
def test_well_known_minerals_have_their_strongest_band_where_everybody_knows_it(name, strongest):
    mineral = next(mineral for mineral in load_minerals() if mineral.name == name)
    assert max(mineral.peaks, key=lambda peak: peak.intensity).position == strongest


def test_bands_are_read_in_ascending_order_and_sources_in_full(tmp_path: Path):
    path = tmp_path / "minerals.toml"
    path.write_text(GOOD)
    quartz, _ = load_minerals(path)
    assert [peak.position for peak in quartz.peaks] == [206, 464]
    assert quartz.source == "A. Author (2001) A journal 1, 2-3"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[464, 1.0, 7]", "[[-464, 1.0, 7]", r"peaks\[\.\.\.\]\[0\]|> 0"),
        ("[[464, 1.0, 7]", "[[464, 1.0]", "array"),
        ("[[464, 1.0, 7]", "[[464, 1.5, 7]", "<= 1"),
        ("[[464, 1.0, 7]", "[[464, 0.9, 7]", "strongest band of quartz has intensity 1, got 0.9"),
        ("[[1086, 1.0, 5]]", "[]", "length >= 1"),
        ('source = ["a2001"]\npeaks = [[1086', 'source = ["b1999"]\npeaks = [[1086', "calcite cites 'b1999'"),
        ('"calcite"', '"quartz"', "repeated: quartz"),
        ('formula = "CaCO3"', "", "formula"),
        ("[sources]", "[sources", "no TOML"),
    ],
)
def test_a_malformed_table_is_refused_and_the_message_names_the_fault(tmp_path, old, new, message):
    path = tmp_path / "minerals.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        load_minerals(path)


def test_a_missing_and_a_huge_table_are_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match="cannot read table of minerals"):
        load_minerals(tmp_path / "nothing.toml")
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * 1_000_001)
    with pytest.raises(DatasetError, match="has 1000001 bytes, at most 1000000 are read"):
        load_minerals(huge)


def test_the_path_of_the_table_is_a_file():
    assert minerals_path().is_file()
    assert minerals_path().name == "minerals.toml"
