"""Rows of the meters table for devices that were heard and that no row names."""

import polars as pl

import ingest
from ingest import topics
from ingest.feeds import filters
from schemas.plant import Plant

ROW = "feed,device,channel,meter,site,name,unit,scale,valid_from,valid_to,first_reading,last_reading"


def missing_rows(messages: pl.DataFrame, plant: Plant, every: bool = False) -> list[dict[str, str]]:
    """Rows of the meters table for devices that feeds with `meters: table` brought and that no row names; every: of all feeds."""
    sites = [site.site for site in plant.settings.sites]
    wanted = [feed for feed in plant.feeds if every or feed.meters == "table"]
    looking = []
    for feed in wanted:
        captured = {name for topic in filters(feed) for name in topics.captures(topic)}
        place = "{site}" if "site" in captured else feed.site or sites[0]
        looking.append(feed.model_copy(update={"unlisted": f"{place}/{{device}}"}) if feed.meters == "table" else feed)
    if not looking:
        return []
    feeds = ingest.compile(plant.model_copy(update={"feeds": tuple(looking)}))
    decoded = ingest.decode(messages, feeds).decoded.drop_nulls("device")
    listed = {(row.feed, row.device) for row in plant.meters}
    found = (
        decoded.select(pl.col("feed", "device", "meter", "site").cast(pl.String), pl.col("channel").cast(pl.String))
        .unique(maintain_order=True)
        .group_by("feed", "device", "site", maintain_order=True)
        .agg(pl.col("meter").first(), pl.col("channel").sort().str.join(" "))
    )
    return [
        {"feed": feed, "device": device, "meter": meter.rpartition(":")[0], "site": site, "channels": channels}
        for feed, device, site, meter, channels in found.sort("feed", "device").iter_rows()
        if (feed, device) not in listed
    ]
