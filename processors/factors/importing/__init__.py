"""From the published form to normalised rows, one module a publisher; pure, run by `python -m scopeline.factor_import`.

`PUBLICATIONS` lists what the catalogue holds. Each normaliser takes the published rows (all text, columns as in
`data/published/*.csv.gz`) and its publication, and gives `Normalised` rows with the columns of `shapes.py`.
"""

from processors.factors.importing import desnz, epa_hub, grid

PUBLICATIONS = (*desnz.PUBLICATIONS, *epa_hub.PUBLICATIONS, *grid.PUBLICATIONS)
