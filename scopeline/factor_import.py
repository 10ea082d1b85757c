"""`python -m scopeline.factor_import`: derive the normalised factor data from the published form, again.

`--from DIR` first takes the published CSV files of a folder into data/published (compressed). Review the difference of
data/values before you commit: each changed row is a changed factor.
"""

import argparse
import gzip
import sys
from pathlib import Path

import polars as pl

from processors.factors.importing import PUBLICATIONS
from processors.factors.importing.gases import blends, gwps
from processors.factors.importing.shapes import DERIVED, PARAMETERS, SOURCES
from scopeline.catalogue import DATA, read


def derive() -> dict[str, pl.DataFrame]:
    """Every data file (by its path in the data folder) from the published form."""
    files: dict[str, pl.DataFrame] = {}
    regions = dict(read(DATA / "regions.csv").iter_rows())
    sources, parameters, derived = [], [], []
    for publication in PUBLICATIONS:
        published = read(DATA / "published" / publication.file)
        normalised = publication.normalise(publication.select(published), publication, regions)
        files[f"values/{publication.set}_{publication.version}.csv"] = normalised.values
        sources.append(publication.described(published))
        parameters.append(normalised.parameters)
        derived.append(normalised.derived)
    files["sources.csv"] = pl.DataFrame(sources, schema=SOURCES)
    files["parameters.csv"] = pl.concat([pl.DataFrame(schema=PARAMETERS), *parameters])
    files["derived.csv"] = pl.concat([pl.DataFrame(schema=DERIVED), *derived])
    files["gwp.csv"] = gwps(read(DATA / "published" / "gwp.csv.gz"))
    files["blends.csv"] = blends(
        read(DATA / "published" / "epa_ghg_hub_2025.csv.gz"),
        read(DATA / "published" / "ashrae34_2019_mixtures.csv.gz"),
        read(DATA / "published" / "desnz_2025.csv.gz"),
        files["gwp.csv"],
    )
    return files


def take(folder: Path) -> list[str]:
    """Compress the published files that lie in a folder into data/published; the same content gives the same bytes."""
    wanted = {publication.file for publication in PUBLICATIONS} | {"gwp.csv.gz"}
    taken = []
    for name in sorted(wanted):
        source = folder / name.removesuffix(".gz")
        if source.exists():
            (DATA / "published" / name).write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))
            taken.append(name)
    return taken


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scopeline.factor_import", description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="a folder of published CSV files to take first")
    chosen = parser.parse_args(arguments)
    if chosen.folder:
        print("taken:", ", ".join(take(chosen.folder)) or "nothing")
    for name, frame in derive().items():
        target = DATA / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(frame.write_csv())
        print(f"{name}: {frame.height} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
