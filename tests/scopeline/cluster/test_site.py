"""In a cluster a topic must tell the site of its messages."""

from pathlib import Path

from scopeline.check import check


def test_a_meter_whose_site_only_the_payload_knows(tmp_path: Path) -> None:
    (tmp_path / "feeds").mkdir()
    feed = 'feed: f\ntopic: t\nsite: works\ndecoder: json\ndevice: "$.d"\nmeter: "{device}/x"\n'
    (tmp_path / "feeds/f.yaml").write_text(feed + 'channels: [{channel: e, value: "$.e", unit: kWh, kind: counter}]\n')
    for profile, wanted in (("embedded", 0), ("cluster", 1)):
        (tmp_path / "plant.yaml").write_text(f"organisation: o\nsites: [{{site: works, timezone: UTC}}]\nprofile: {profile}\n")
        _, problems = check(tmp_path)
        assert sum("must follow from its topic" in problem.message for problem in problems) == wanted
