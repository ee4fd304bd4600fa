"""In place of a package of Azure's repository that azure-cosmos's tests import and PyPI does not have."""
