"""Search puts first what people mostly mean."""

import pytest

from scopeline.catalogue import catalogue


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("natural gas", "desnz/fuels/gaseous-fuels/natural-gas/kwh-gross"),
        ("natural gas m3", "desnz/fuels/gaseous-fuels/natural-gas/m3"),
        ("wtt natural gas", "desnz/wtt-fuels/gaseous-fuels/natural-gas/"),
        ("diesel", "desnz/fuels/liquid-fuels/diesel-"),
        ("diesel litre", "desnz/fuels/liquid-fuels/diesel-"),
        ("electricity GB", "desnz/uk-electricity/electricity-generated/electricity-uk/kwh"),
        ("electricity uk", "desnz/uk-electricity/electricity-generated/electricity-uk/kwh"),
        ("waste landfill", "desnz/waste-disposal/"),
        ("flight", "desnz/business-travel-air/flights/"),
        ("R-410A", "refrigerant/R-410A"),
        ("r134a", "refrigerant/R-134a"),
        ("camx electricity", "epa_hub/electricity/us-camx/total-output/kwh"),
        ("germany electricity", "green_algorithms/DE"),
    ],
)
def test_first_result(words, first):
    assert catalogue().search(words)[0].id.startswith(first)


def test_filters_and_newest_version():
    found = catalogue().search("natural gas", of_set="epa_hub")
    assert {f.set for f in found} == {"epa_hub"} and {f.version for f in found} == {"2025"}
    assert {f.region for f in catalogue().search("electricity", region="UK")} == {"GB"}
    assert len(catalogue().search("petrol", limit=3)) == 3


def test_every_word_counts():
    assert catalogue().search("natural xyzzy") == []
    assert all("landfill" in f.id for f in catalogue().search("glass landfill"))


@pytest.mark.parametrize("words", ["", "   ", "\x00", "(", "%", "a" * 5000])
def test_odd_words_harm_nothing(words):
    catalogue().search(words)
