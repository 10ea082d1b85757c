"""The factor catalogue: which emission factor prices an activity, and what each gas of it is worth.

All here is pure; the data files under `data/` are read by the shell (`scopeline/catalogue.py`) and come in as `Tables`.
"""

from processors.factors.catalogue import Catalogue, Tables
from processors.factors.factor import Factor, Resolution, Span
from processors.factors.gwp import MissingGwp

__all__ = ["Catalogue", "Factor", "MissingGwp", "Resolution", "Span", "Tables"]
