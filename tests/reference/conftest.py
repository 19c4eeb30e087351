"""Fixtures of the tests of densities of tables."""

import pytest
from sklearn.base import clone

from tests.reference.tables import DENSITIES, TABLES, table_of


@pytest.fixture(params=DENSITIES)
def density(request):
    return clone(DENSITIES[request.param])


@pytest.fixture(params=TABLES)
def kinds(request):
    return TABLES[request.param]


@pytest.fixture(
    params=[("three classes", name) for name in TABLES]
    + [(name, "all kinds") for name in DENSITIES if name != "three classes"],
    ids="-".join,
)
def fitted(request):
    """Return each density fitted to columns of all kinds, and one density fitted to columns of each kind alone."""
    name, kinds = request.param
    return clone(DENSITIES[name]).set_params(visible=TABLES[kinds]).fit(table_of(TABLES[kinds]))
