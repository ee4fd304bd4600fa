"""The data plane: what a product's own code imports."""

from manor.data.opening import connect

__all__ = ["connect"]
