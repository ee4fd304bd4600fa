"""Settings of the Django project, taken from the command line instead of a settings module."""

from __future__ import annotations

import django
from django.conf import settings


def configure(*, host: str, user: str, database: str) -> None:
    """Make Django ready for one database; ``host`` is the folder of the server's socket."""
    shared = ["django_tenants", "django.contrib.contenttypes", "benchmarks.django_peer.tenants"]
    own = ["benchmarks.django_peer.shop"]
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django_tenants.postgresql_backend",
                "HOST": host,
                "USER": user,
                "NAME": database,
                "CONN_MAX_AGE": None,
            }
        },
        DATABASE_ROUTERS=("django_tenants.routers.TenantSyncRouter",),
        SHARED_APPS=shared,
        TENANT_APPS=own,
        INSTALLED_APPS=[*shared, *own],
        TENANT_MODEL="tenants.Customer",
        TENANT_DOMAIN_MODEL="tenants.Domain",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        SECRET_KEY="measured, never served",
    )
    django.setup()
