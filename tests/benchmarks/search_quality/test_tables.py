"""The tables by name, and the fixed split."""

from pathlib import Path

import pytest

from benchmarks.search_quality.tables import CHOSEN_ON, REPORTED, Sources, chosen_names, known_names, make_table
from decouplenet.errors import InputError


def test_no_table_is_both_chosen_on_and_reported():
    assert not set(CHOSEN_ON) & set(REPORTED)
    assert len(set(REPORTED)) == len(REPORTED) >= 6
    rest = [name for name in (*CHOSEN_ON, *REPORTED) if not name.startswith("lcbench-")]
    assert set(rest) <= set(known_names(Sources()))


def test_words_stand_for_tables():
    sources = Sources()
    names, missing = chosen_names(["chosen", "grid60", "bowl10"], sources)
    assert names == [name for name in CHOSEN_ON if not name.startswith("lcbench-")] + ["grid60"]
    assert missing == [name for name in CHOSEN_ON if name.startswith("lcbench-")]
    names, missing = chosen_names(["all"], sources)
    assert sorted(names + missing) == sorted(CHOSEN_ON + REPORTED)


def test_a_given_file_is_in_place_of_the_recorded_table():
    names, _ = chosen_names(["chosen"], Sources(table=Path("mine.csv")))
    assert names[:2] == ["mine-trees", "mine-gp"]
    assert "table-gp" not in names


@pytest.mark.parametrize("make", [lambda: chosen_names(["bowl11"], Sources()), lambda: make_table("bowl11")])
def test_an_unknown_table_is_refused_with_the_nearest_name(make):
    with pytest.raises(InputError, match="--tables: unknown 'bowl11'; .*bowl10"):
        make()


def test_a_table_of_lcbench_needs_its_folder():
    with pytest.raises(InputError, match="table lcbench-126026 needs --lcbench DIR"):
        make_table("lcbench-126026")
