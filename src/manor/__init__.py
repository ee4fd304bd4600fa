"""Manor runs the databases of multi-tenant products: a control plane for fleets and a data plane for applications."""

__version__ = "0.1.0"
